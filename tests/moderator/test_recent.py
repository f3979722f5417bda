"""A word or a sentence split over one author's messages is judged whole; anything else is judged as it stands."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chat_moderator.moderator.cascade import Cascade
from chat_moderator.moderator.moderator import Moderator
from chat_moderator.moderator.recent import Recent
from chat_moderator.policy.config import PolicyConfig
from chat_moderator.policy.thresholds import ThresholdPolicy
from chat_moderator.testing.clock import FakeClock
from chat_moderator.testing.doubles import WordClassifier
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Author, Message, Span, Verdict


class PhraseClassifier(WordClassifier):
    """Finds `kill ... yourself` toxic, wherever the words stand apart."""

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return super().score(["bad" if self._found(text) else text for text in texts])

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        return [(Span(text.index("kill"), len(text), "toxicity"),) if self._found(text) else () for text in texts]

    @staticmethod
    def _found(text: str) -> bool:
        _, kill, rest = text.partition("kill")
        return bool(kill) and rest.split()[:1] == ["yourself"]


@pytest.fixture
def phrases(clock: FakeClock) -> Moderator:
    policy = ThresholdPolicy(PolicyConfig(), actions=("alert", "delete", "hold", "reply"))
    return Moderator(Cascade([("phrases", PhraseClassifier())]), policy, clock=clock)


def wrote(text: str, author: str = "u1", **fields: Any) -> Message:
    fields.setdefault("channel", "lobby")
    return make_message(text, author=Author(author), **fields)


def verdicts(moderator: Moderator, *batches: Sequence[Message]) -> list[Verdict]:
    return [decision.verdict for batch in batches for decision in moderator.decide(batch)]


@pytest.mark.parametrize("apart", [True, False])
def test_the_message_that_completes_it_is_acted_on_however_they_are_batched(phrases: Moderator, apart: bool) -> None:
    messages = [wrote("go"), wrote("kill"), wrote("yourself now"), wrote("lol")]
    batches = [[message] for message in messages] if apart else [messages]
    assert verdicts(phrases, *batches) == [Verdict.ALLOW, Verdict.ALLOW, Verdict.BLOCK, Verdict.ALLOW]


def test_the_record_says_what_was_read_with_it_and_shows_this_message_only(phrases: Moderator) -> None:
    messages = [wrote("go kill"), wrote("yourself now")]
    _, decision = phrases.decide(messages)
    assert decision.assessment.earlier == (messages[0].id,)
    assert decision.assessment.spans == (Span(0, len("yourself now"), "toxicity"),)


@pytest.mark.parametrize(
    "fields",
    [
        {"author": "u2"},
        {"channel": "other"},
        {"channel": ""},
        {"author": ""},
        {"client": "other"},
        {"text": "yourself in your good time, whoever you may be, my friend"},
    ],
)
def test_what_another_wrote_or_elsewhere_or_at_length_is_not_joined(phrases: Moderator, fields: dict[str, str]) -> None:
    second = wrote(**({"text": "yourself"} | fields))
    assert verdicts(phrases, [wrote("kill"), second]) == [Verdict.ALLOW, Verdict.ALLOW]


def test_after_half_a_minute_nothing_is_remembered(phrases: Moderator, clock: FakeClock) -> None:
    assert verdicts(phrases, [wrote("kill")]) == [Verdict.ALLOW]
    clock.advance(31)
    assert verdicts(phrases, [wrote("yourself")]) == [Verdict.ALLOW]


def test_the_time_of_sending_counts_where_it_is_known(phrases: Moderator, clock: FakeClock) -> None:
    first = wrote("kill", sent_at=clock())
    late = wrote("yourself", sent_at=clock() + timedelta(seconds=31))
    soon = wrote("yourself", author="u1", sent_at=clock() + timedelta(seconds=29))
    assert verdicts(phrases, [first, late]) == [Verdict.ALLOW, Verdict.ALLOW]
    assert verdicts(phrases, [wrote("kill", sent_at=clock()), soon])[-1] is Verdict.BLOCK


def test_what_was_acted_on_does_not_taint_what_follows(moderator: Moderator) -> None:
    assert verdicts(moderator, [wrote("bad"), wrote("fine"), wrote("lol")]) == [
        Verdict.BLOCK,
        Verdict.ALLOW,
        Verdict.ALLOW,
    ]


def test_a_message_judged_again_is_read_with_the_same_ones(phrases: Moderator) -> None:
    batch = [wrote("kill"), wrote("it"), wrote("yourself")]
    assert verdicts(phrases, batch) == verdicts(phrases, batch)


def test_an_edit_is_not_read_with_what_it_replaces(phrases: Moderator) -> None:
    first = wrote("kill", id="one")
    edited = wrote("yourself", id="one", revision=1)
    assert verdicts(phrases, [first, edited]) == [Verdict.ALLOW, Verdict.ALLOW]


def test_the_least_recent_author_is_forgotten_first(clock: FakeClock) -> None:
    recent = Recent(authors=2)
    for author in ("u1", "u2", "u1", "u3"):
        recent.keep(wrote("kill", author), clock())
    joined = [recent.joined(wrote("yourself", author), clock()) for author in ("u1", "u2", "u3")]
    assert [found.text if found else "" for found in joined] == ["kill kill yourself", "", "kill yourself"]


def test_after_a_restart_it_remembers_what_the_store_holds(phrases: Moderator, clock: FakeClock) -> None:
    phrases.recent.recall([make_record(wrote("kill", sent_at=clock()))])
    assert verdicts(phrases, [wrote("yourself")]) == [Verdict.BLOCK]


def test_it_can_be_turned_off(clock: FakeClock) -> None:
    policy = ThresholdPolicy(PolicyConfig(), actions=())
    off = Moderator(Cascade([("phrases", PhraseClassifier())]), policy, recent=Recent(timedelta()), clock=clock)
    assert verdicts(off, [wrote("kill"), wrote("yourself")]) == [Verdict.ALLOW, Verdict.ALLOW]
