"""The moderator: one decision a message, whoever asks and whatever else is in the batch."""

import asyncio

import numpy as np
import pytest

from chat_moderator.errors import PermanentError
from chat_moderator.moderator.cascade import Cascade
from chat_moderator.moderator.moderator import Moderator
from chat_moderator.policy.config import PolicyConfig
from chat_moderator.policy.thresholds import ThresholdPolicy
from chat_moderator.testing.doubles import WordClassifier
from chat_moderator.testing.factories import make_message
from chat_moderator.types import LABELS, Span, Verdict


async def test_decides_in_order_and_shows_where(moderator: Moderator) -> None:
    texts = ["fine", "so bad", "", "odd one"]
    decisions = await moderator.moderate([make_message(text) for text in texts])
    assert [decision.verdict for decision in decisions] == [Verdict.ALLOW, Verdict.BLOCK, Verdict.ALLOW, Verdict.HOLD]
    assert decisions[1].assessment.spans == (Span(3, 6, "toxicity"),)
    assert decisions[0].assessment.spans == ()


async def test_an_empty_batch_is_no_decision(moderator: Moderator) -> None:
    assert await moderator.moderate([]) == []


async def test_more_than_a_chunk_keeps_its_order(moderator: Moderator) -> None:
    texts = ["bad" if number % 3 == 0 else "fine" for number in range(1000)]
    decisions = await moderator.moderate([make_message(text) for text in texts], urgent=False)
    assert [decision.verdict is Verdict.BLOCK for decision in decisions] == [text == "bad" for text in texts]


async def test_one_callers_poison_is_not_anothers(moderator: Moderator, classifier: WordClassifier) -> None:
    slow = asyncio.create_task(moderator.moderate([make_message("slow")]))
    others = [asyncio.create_task(moderator.moderate([make_message(text)])) for text in ("bad", "poison", "fine")]
    classifier.answer.set()
    await slow
    results = await asyncio.gather(*others, return_exceptions=True)
    assert isinstance(results[1], RuntimeError)
    assert results[0][0].verdict is Verdict.BLOCK  # type: ignore[index]
    assert results[2][0].verdict is Verdict.ALLOW  # type: ignore[index]


async def test_only_what_can_be_done_is_intended(classifier: WordClassifier) -> None:
    policy = ThresholdPolicy(PolicyConfig(), actions=("alert", "delete", "hold", "reply"))
    moderator = Moderator(Cascade([("words", classifier)]), policy, performable=lambda client: {"alert"} & {client})
    (decision,) = await moderator.moderate([make_message("bad")])
    assert (decision.verdict, decision.actions) == (Verdict.BLOCK, ())
    await moderator.aclose()


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1, np.inf])
def test_scores_that_are_none_are_refused(wrong: float) -> None:
    class Broken(WordClassifier):
        def score(self, texts: object) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
            return np.full((1, len(LABELS)), wrong, dtype=np.float32)

    with pytest.raises(PermanentError, match="not from 0 to 1"):
        Cascade([("broken", Broken())]).assess(["text"])


def test_hints_come_beside_the_scores() -> None:
    class Hinting(WordClassifier):
        version = "hints-1"

    (assessment,) = Cascade([("words", WordClassifier())], [("hinting", Hinting())]).assess(["odd"])
    assert assessment.hints == {"toxicity": 0.6}
    assert assessment.tier == "words"


async def test_what_a_platform_holds_is_released_when_it_is_allowed(classifier: WordClassifier) -> None:
    policy = ThresholdPolicy(PolicyConfig(), actions=("alert", "delete", "hold", "release", "reply"))
    by_client = {"platform": {"delete", "hold", "release"}}
    cascade = Cascade([("words", classifier)])
    moderator = Moderator(cascade, policy, performable=lambda client: by_client.get(client, {"release"}))
    texts, ids = ("fine", "bad", "odd one", "fine", "fine"), ("held:1", "held:2", "held:3", "4", "held:5")
    clients = ("platform", "platform", "platform", "platform", "an API key")
    messages = [
        make_message(text, id=one, client=client) for text, one, client in zip(texts, ids, clients, strict=True)
    ]
    decisions = await moderator.moderate(messages)
    assert [decision.actions for decision in decisions] == [("release",), ("delete",), ("hold",), (), ()]
