"""The cascade: classifiers, cheapest first, that together give one assessment a text."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from chat_moderator.errors import PermanentError
from chat_moderator.moderator.exits import Exit, Limits, Sample, choose, levels, lowest
from chat_moderator.moderator.tier import DEADLINE, Tier
from chat_moderator.protocols import Classifier
from chat_moderator.types import Assessment, Span, Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray

DECIMALS = 4
"""Scores are rounded to this many places where they leave the classifiers, so that every door shows the same number."""

HOW_TO_CALIBRATE: Final = (
    "`chat-moderator evaluate --cascade --data chat.jsonl --write exits.json` chooses early exits, "
    "and `exits` under [cascade] names that file"
)

log = logging.getLogger(__name__)


class Alarm(Protocol):
    """Says how likely a better tier would act on a text."""

    @property
    def version(self) -> str:
        """Changes whenever an answer could change."""

    def score(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """(len(texts),), each 0 to 1."""


class Promises(Struct, frozen=True):
    """Shares, 0 to 1: of verdicts that may differ from the top tier's, and of what it would act on that may be missed.

    `sample` is what the calibration texts came to; without it, or where it is of other versions, nothing leaves early.
    """

    sample: Sample | None = None
    max_disagreement: float = 0.005
    max_missed: float = 0.05


class Cascade:
    """Asks the first of `tiers`, and the next one about every text on which the verdict could still change.

    A text leaves early when neither its scores nor its alarm come near to where the policy acts. What a better tier
    does not answer in time keeps its assessment and is marked degraded. `hinting` classifiers may only ever hold.
    Called from one thread at a time.

    Args:
        tiers: by registry name, cheapest first.
        hinting: by registry name.
        promises: what early exits may get wrong.
        gate: raises the alarm about the first tier's texts; without one, the tier's own highest score does.
        deadline: seconds that a better tier may take for a call.
    """

    def __init__(
        self,
        tiers: Sequence[tuple[str, Classifier]],
        hinting: Sequence[tuple[str, Classifier]] = (),
        *,
        promises: Promises | None = None,
        gate: Alarm | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self._first_name, self._first = tiers[0]
        self._better = [Tier(name, classifier, checked, deadline=deadline) for name, classifier in tiers[1:]]
        self._hinting = tuple(classifier for _, classifier in hinting)
        self._promises = promises or Promises()
        self._gate = gate
        classifiers = [classifier for _, classifier in tiers]
        self.tiers = tuple(name for name, _ in tiers)
        self.versions = tuple(classifier.version for classifier in classifiers)
        # What only a lower tier knows stays as that tier says: each tier's labels begin with those of the one below.
        known = list[tuple[str, ...]]()
        for classifier in classifiers:
            known.append(tuple(dict.fromkeys((*(known[-1] if known else ()), *classifier.labels))))
        self.labels = known[-1]
        self._known = known
        self._columns = [[self.labels.index(label) for label in classifier.labels] for classifier in classifiers]
        self._limits: Limits = ()
        self._lowest = lowest((), self.labels)
        self._exits: tuple[Exit | None, ...] = (None,) * len(self._better)

    @property
    def version(self) -> str:
        """The versions of the classifiers, cheapest first."""
        return "+".join(self.versions)

    @property
    def gate(self) -> str:
        """The version of the gate, empty without one."""
        return self._gate.version if self._gate else ""

    @property
    def experimental(self) -> tuple[str, ...]:
        """Labels of a classifier that may answer which had too little data to be trusted."""
        classifiers = (self._first, *(tier.classifier for tier in self._better))
        return tuple(dict.fromkeys(label for each in classifiers for label in getattr(each, "experimental", ())))

    @property
    def memo(self) -> tuple[int, int]:
        """Words that the first tier has looked up so far, and those of them it had to learn; zeros without a memo."""
        return getattr(self._first, "looked_up", 0), getattr(self._first, "learnt", 0)

    def exits(self, limits: Limits) -> tuple[Exit | None, ...]:
        """The early exit of each tier but the last under a policy that acts from `limits` on; None where there is none.

        Chosen anew whenever the limits are others; says in the log when nothing can leave early.
        """
        if limits is not self._limits and limits != self._limits:
            self._exits, self._lowest = self._choose(limits), lowest(limits, self.labels)
        self._limits = limits
        return self._exits

    def assess(self, texts: Sequence[str], limits: Limits = ()) -> list[Assessment]:
        """One assessment a text, in order.

        Args:
            texts: what to judge.
            limits: from what scores on the policy acts, place by place; without any, the last tier answers every text.

        Raises:
            PermanentError: the first classifier answered something other than numbers from 0 to 1.
        """
        exits = self.exits(limits)
        scores = np.zeros((len(texts), len(self.labels)))
        scores[:, self._columns[0]] = self._first_scores(texts)
        answered, degraded = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
        waiting = np.arange(len(texts))
        for number, tier in enumerate(self._better, start=1):
            found = exits[number - 1]
            if found:
                some = [texts[index] for index in waiting.tolist()]
                staying = self.levels(number - 1, some, scores[waiting]) >= found.level
                staying |= (scores[waiting] >= self._lowest).any(axis=1)
                waiting = waiting[staying | degraded[waiting]]
            for stretch, rows in tier.score([texts[index] for index in waiting.tolist()]):
                asked = waiting[stretch.start : stretch.stop]
                degraded[asked] = rows is None
                if rows is not None:
                    scores[asked[:, None], self._columns[number]] = rows
                    answered[asked] = number
        hints = self._hints(texts)
        rows_of = zip(answered.tolist(), degraded.tolist(), scores.tolist(), strict=True)
        return [
            Assessment(
                dict(zip(self._known[number], row, strict=False)),
                self.tiers[number],
                self.versions[number],
                hints.get(index, {}),
                degraded=late,
            )
            for index, (number, late, row) in enumerate(rows_of)
        ]

    def measure(self, texts: Sequence[str]) -> "list[NDArray[np.float64]]":
        """What each tier would say of every text if it were the last: (texts, labels) each, without any early exit.

        Raises:
            PermanentError: a classifier answered something other than numbers from 0 to 1.
        """
        classifiers = (self._first, *(tier.classifier for tier in self._better))
        found = [np.zeros((len(texts), len(self.labels)))]
        for name, classifier, columns in zip(self.tiers, classifiers, self._columns, strict=True):
            rows = found[-1].copy()
            rows[:, columns] = checked(name, classifier.score(texts), len(texts), len(columns))
            found.append(rows)
        return found[1:]

    def levels(self, number: int, texts: Sequence[str], scores: "NDArray[np.float64]") -> "NDArray[np.int64]":
        """How alarming each text is to the exit of tier `number` that gave it these scores, 0 to 255."""
        if self._gate is not None and number == 0:
            return levels(self._gate.score(texts))
        return levels(scores.max(axis=1, initial=0.0))

    def explain(self, texts: Sequence[str], tiers: Sequence[str]) -> list[tuple[Span, ...]]:
        """Which characters of each text spoke for its scores, by place.

        Args:
            texts: what was assessed.
            tiers: the name of the tier that answered each text; where it cannot say, the first one does.
        """
        found = [set[Span]() for _ in texts]
        for number, name in enumerate(self.tiers):
            here = [index for index, tier in enumerate(tiers) if tier == name]
            some = [texts[index] for index in here]
            explained = self._better[number - 1].explain(some) if number else None
            for index, said in zip(here, explained or self._first.explain(some), strict=True):
                found[index].update(said)
        for classifier in self._hinting:
            for spans, more in zip(found, classifier.explain(texts), strict=True):
                spans.update(more)
        return [tuple(sorted(spans, key=lambda span: (span.start, span.end, span.label))) for spans in found]

    def _first_scores(self, texts: Sequence[str]) -> "NDArray[np.float64]":
        return checked(self._first_name, self._first.score(texts), len(texts), len(self._first.labels))

    def _choose(self, limits: Limits) -> tuple[Exit | None, ...]:
        none = (None,) * len(self._better)
        sample = self._promises.sample
        if not limits or not self._better:
            return none
        if sample is None or (sample.tiers, sample.gate, sample.labels) != (self.versions, self.gate, self.labels):
            log.warning(
                "no early exits are calibrated for %s, so every message goes to the last tier: %s",
                self.version,
                HOW_TO_CALIBRATE,
            )
            return none
        found = choose(
            sample,
            limits,
            max_disagreement=self._promises.max_disagreement,
            max_missed=self._promises.max_missed,
        )
        for name, one in zip(self.tiers, found, strict=False):
            if one is None:
                log.warning(
                    "no message leaves the cascade after %s: on %d calibration texts no threshold could be shown to "
                    "keep the promises under this policy",
                    name,
                    sample.texts,
                )
        return found

    def _hints(self, texts: Sequence[str]) -> dict[int, dict[str, float]]:
        hints: dict[int, dict[str, float]] = {}
        for classifier in self._hinting:
            scores = classifier.score(texts)
            rows, columns = scores.nonzero()
            for index, column in zip(rows.tolist(), columns.tolist(), strict=True):
                row, label = hints.setdefault(index, {}), classifier.labels[column]
                row[label] = max(row.get(label, 0.0), round(float(scores[index, column]), DECIMALS))
        return hints


def checked(name: str, scores: "NDArray[np.float32]", rows: int, columns: int) -> "NDArray[np.float64]":
    """The scores, rounded.

    Raises:
        PermanentError: they are not (rows, columns) numbers from 0 to 1.
    """
    if scores.shape != (rows, columns):
        raise PermanentError(f"{name} answered {scores.shape} for {rows} texts of {columns} labels")
    # A NaN compares as false, so it is caught here too.
    if rows and not (scores.min() >= 0.0 and scores.max() <= 1.0):
        raise PermanentError(f"{name} answered scores that are not from 0 to 1")
    rounded: NDArray[np.float64] = scores.astype("float64").round(DECIMALS)
    return rounded
