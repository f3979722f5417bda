"""The cascade: the cheap tier answers where it is sure, a better one the rest; one that is late degrades no more."""

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from chat_moderator.moderator.cascade import Cascade, Promises
from chat_moderator.moderator.exits import Sample, sample
from chat_moderator.moderator.tier import FAILURES, PAUSE, Tier
from chat_moderator.policy.config import PolicyConfig
from chat_moderator.policy.thresholds import ThresholdPolicy
from chat_moderator.testing.doubles import WordClassifier
from chat_moderator.testing.factories import make_message
from chat_moderator.types import LABELS, Assessment, Span, Verdict

POLICY = ThresholdPolicy(PolicyConfig(), actions=("delete", "hold", "reply"))
LIMITS = POLICY.limits


class Better(WordClassifier):
    """Hears malice too, and counts what it was asked."""

    version = "better-1"

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.broken = False

    def score(self, texts: Sequence[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        self.asked += texts
        if self.broken:
            raise RuntimeError("out of order")
        if any("hang" in text for text in texts):
            self.answer.wait(60)
        scores = super().score(texts)
        scores[["malice" in text for text in texts], LABELS.index("threat")] = 0.9
        return scores


class WordGate:
    """Alarmed by `maybe`, `hang` and `malice`."""

    version = "gate-1"

    def score(self, texts: Sequence[str]) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
        alarming = ("maybe", "hang", "malice")
        return np.array([0.9 if any(word in text for word in alarming) else 0.001 for text in texts], np.float32)


def calm(versions: tuple[str, ...] = ("words-1", "better-1"), gate: str = "gate-1") -> Sample:
    """A sample in which nothing alarms but what is acted on."""
    top = np.zeros((4000, len(LABELS)))
    top[:400, 0] = 0.9
    return sample(versions, LABELS, [np.where(top[:, 0] > 0, 100, 20)] * (len(versions) - 1), top, gate=gate)


@pytest.fixture
def better() -> Iterator[Better]:
    made = Better()
    yield made
    made.answer.set()


def cascade(better: Better, kept: Sample | None = None, deadline: float = 30.0) -> Cascade:
    promises = Promises(sample=kept or calm())
    return Cascade(
        [("words", WordClassifier()), ("better", better)], promises=promises, gate=WordGate(), deadline=deadline
    )


def tiers(found: Sequence[Assessment]) -> list[str]:
    return [each.tier for each in found]


def test_only_what_might_change_the_verdict_goes_up(better: Better) -> None:
    found = cascade(better).assess(["fine", "bad", "maybe", "malice", "odd", ""], LIMITS)
    assert tiers(found) == ["words", "better", "better", "better", "better", "words"]
    assert better.asked == ["bad", "maybe", "malice", "odd"]
    assert [each.model for each in found[:2]] == ["words-1", "better-1"]
    assert found[3].scores["threat"] == 0.9
    assert not any(each.degraded for each in found)


def test_a_text_has_the_same_scores_whatever_stands_beside_it(better: Better) -> None:
    made = cascade(better)
    texts = ["fine", "malice", "x" * 5000, "bad", "maybe"]
    together = made.assess(texts, LIMITS)
    assert [made.assess([text], LIMITS)[0] for text in texts] == together
    assert made.assess(texts[::-1], LIMITS) == together[::-1]


def test_nothing_is_something_too(better: Better) -> None:
    assert cascade(better).assess([], LIMITS) == []
    assert cascade(better).explain([], []) == []


def test_without_exits_for_these_versions_everything_goes_up_and_the_log_says_how_to_calibrate(
    better: Better, caplog: pytest.LogCaptureFixture
) -> None:
    for kept in (calm(("words-1", "better-2")), calm(gate="gate-2")):
        caplog.clear()
        assert tiers(cascade(better, kept).assess(["fine", "bad"], LIMITS)) == ["better", "better"]
        assert "chat-moderator evaluate --cascade" in caplog.text


def test_a_stricter_policy_has_its_own_exits(better: Better, caplog: pytest.LogCaptureFixture) -> None:
    made = cascade(better)
    assert tiers(made.assess(["fine"], LIMITS)) == ["words"]
    anything = ThresholdPolicy(PolicyConfig(holds={"toxicity": 0.05}), actions=("delete", "hold", "reply"))
    assert tiers(made.assess(["fine"], anything.limits)) == ["better"]
    assert "no message leaves the cascade after words" in caplog.text
    assert tiers(made.assess(["fine"], LIMITS)) == ["words"]


def test_a_score_that_a_rule_looks_at_counts_as_a_threshold() -> None:
    def limits(when: str) -> float:
        rules = [{"name": "r", "when": when, "verdict": "hold"}]
        policy = ThresholdPolicy(msgspec.convert({"rules": rules}, PolicyConfig), actions=("delete", "hold", "reply"))
        return policy.limits[0]["threat"]

    assert limits('scores.threat > 0.3 && message.channel == "arena"') == 0.3
    assert limits("scores.threat > 0.9") == 0.5
    assert limits("scores.threat > 0.3 || text.links > 3") == 0.0
    assert limits("scores.threat < 0.3 && text.links > 3") == 0.0
    assert limits('scores["threat"] > 0.3') == 0.3
    assert limits("text.links > 3") == 0.5


def test_the_tier_that_answered_explains(better: Better) -> None:
    found = cascade(better).explain(["so bad", "odd one"], ["words", "better"])
    assert found == [(Span(3, 6, "toxicity"),), (Span(0, 3, "toxicity"),)]


def test_what_only_the_first_tier_knows_stays_as_it_says() -> None:
    class Narrow(WordClassifier):
        labels = ("toxicity",)  # type: ignore[assignment]
        version = "narrow-1"

        def score(self, texts: Sequence[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
            return super().score(texts)[:, :1] * np.float32(0.5)

    (found,) = Cascade([("better", Better()), ("narrow", Narrow())]).assess(["bad malice"])
    assert (found.tier, found.scores["toxicity"], found.scores["threat"]) == ("narrow", 0.475, 0.9)


def test_a_better_tier_that_fails_leaves_the_cheap_answer_and_nothing_is_removed(better: Better) -> None:
    made = cascade(better)
    better.broken = True
    found = made.assess(["fine", "bad"], LIMITS)
    assert [(each.tier, each.degraded) for each in found] == [("words", False), ("words", True)]
    decided = POLICY.decide([make_message("fine"), make_message("bad")], found, at=datetime.now(UTC))
    assert [decision.verdict for decision in decided] == [Verdict.ALLOW, Verdict.HOLD]


def test_scores_that_are_none_are_a_failure_too(better: Better) -> None:
    class Broken(Better):
        def score(self, texts: Sequence[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
            return np.full((len(texts), len(LABELS)), np.nan, np.float32)

    (found,) = cascade(Broken()).assess(["bad"], LIMITS)
    assert (found.tier, found.degraded, found.scores["toxicity"]) == ("words", True, 0.95)


def test_a_better_tier_that_hangs_is_given_up_at_its_deadline(better: Better) -> None:
    made = cascade(better, deadline=0.05)
    (late,) = made.assess(["hang"], LIMITS)
    assert (late.tier, late.degraded) == ("words", True)
    (next_one,) = made.assess(["maybe"], LIMITS)
    assert next_one.degraded
    assert "maybe" not in better.asked


def test_an_exit_in_the_middle_is_calibrated_as_well() -> None:
    class Middle(Better):
        version = "middle-1"

    middle, top = Middle(), Better()
    kept = calm(("words-1", "middle-1", "better-1"))
    made = Cascade(
        [("words", WordClassifier()), ("middle", middle), ("better", top)],
        promises=Promises(sample=kept),
        gate=WordGate(),
    )
    assert tiers(made.assess(["fine", "maybe", "bad"], LIMITS)) == ["words", "middle", "better"]
    middle.broken = True
    found = made.assess(["fine", "maybe"], LIMITS)
    assert [(each.tier, each.degraded) for each in found] == [("words", False), ("better", False)]


class Hands:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def tier(better: Better, clock: Hands, deadline: float = 30.0) -> Tier:
    def check(name: str, scores: np.ndarray, rows: int, columns: int) -> np.ndarray:
        return scores.astype(np.float64)

    return Tier("better", better, check, deadline=deadline, clock=clock)


def answered(made: Tier, *texts: str) -> bool:
    return all(rows is not None for _, rows in made.score(texts))


def test_the_breaker_opens_after_failures_and_closes_when_a_call_succeeds(better: Better) -> None:
    clock = Hands()
    made = tier(better, clock)
    better.broken = True
    for _ in range(FAILURES):
        assert not answered(made, "x")
    asked = len(better.asked)
    assert not answered(made, "x")
    assert len(better.asked) == asked, "an open breaker asks nobody"
    clock.now += PAUSE
    assert not answered(made, "x")
    assert len(better.asked) == asked + 1, "one call tries"
    better.broken = False
    assert not answered(made, "x")
    clock.now += PAUSE
    assert answered(made, "x")
    assert answered(made, "y")


def test_one_text_that_it_chokes_on_opens_no_breaker(better: Better) -> None:
    made = tier(better, Hands())
    for _ in range(5):
        assert not answered(made, "poison")
        assert answered(made, "fine")


def test_a_call_that_was_given_up_is_waited_for_and_then_all_is_well(better: Better) -> None:
    clock = Hands()
    made = tier(better, clock, deadline=0.05)
    assert not answered(made, "hang")
    clock.now += PAUSE
    assert not answered(made, "fine"), "it is still busy"
    better.answer.set()
    while threading.active_count() and not answered(made, "fine"):
        clock.now += PAUSE
    assert answered(made, "fine")


def test_long_texts_are_asked_about_in_several_calls(better: Better) -> None:
    made = tier(better, Hands())
    stretches = [stretch for stretch, _ in made.score(["x" * 20_000] * 3 + ["y"])]
    assert [list(each) for each in stretches] == [[0], [1], [2, 3]]
