"""The cascade: classifiers, cheapest first, that together give one assessment a text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chat_moderator.errors import PermanentError
from chat_moderator.protocols import Classifier
from chat_moderator.types import Assessment, Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DECIMALS = 4
"""Scores are rounded to this many places where they leave the classifiers, so that every door shows the same number."""


class Cascade:
    """Scores with the last of `tiers`, and takes hints from `hinting` classifiers, which may only ever hold.

    Args:
        tiers: by registry name, cheapest first.
        hinting: by registry name.
    """

    def __init__(self, tiers: Sequence[tuple[str, Classifier]], hinting: Sequence[tuple[str, Classifier]] = ()) -> None:
        self._name, self._classifier = tiers[-1]
        self._hinting = tuple(classifier for _, classifier in hinting)

    @property
    def version(self) -> str:
        """The version of the classifier that answers."""
        return self._classifier.version

    @property
    def experimental(self) -> tuple[str, ...]:
        """Labels of the classifier that answers which had too little data to be trusted."""
        return tuple(getattr(self._classifier, "experimental", ()))

    def assess(self, texts: Sequence[str]) -> list[Assessment]:
        """One assessment a text, in order.

        Raises:
            PermanentError: a classifier answered something other than numbers from 0 to 1.
        """
        labels, version = self._classifier.labels, self._classifier.version
        rows = _checked(self._name, self._classifier.score(texts), len(texts), len(labels)).tolist()
        hints = self._hints(texts)
        return [
            Assessment(dict(zip(labels, row, strict=True)), self._name, version, hints.get(index, {}))
            for index, row in enumerate(rows)
        ]

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """Which characters of each text spoke for its scores, hints included, by place."""
        found = [set(spans) for spans in self._classifier.explain(texts)]
        for classifier in self._hinting:
            for spans, more in zip(found, classifier.explain(texts), strict=True):
                spans.update(more)
        return [tuple(sorted(spans, key=lambda span: (span.start, span.end, span.label))) for spans in found]

    def _hints(self, texts: Sequence[str]) -> dict[int, dict[str, float]]:
        hints: dict[int, dict[str, float]] = {}
        for classifier in self._hinting:
            scores = classifier.score(texts)
            rows, columns = scores.nonzero()
            for index, column in zip(rows.tolist(), columns.tolist(), strict=True):
                row, label = hints.setdefault(index, {}), classifier.labels[column]
                row[label] = max(row.get(label, 0.0), round(float(scores[index, column]), DECIMALS))
        return hints


def _checked(name: str, scores: "NDArray[np.float32]", rows: int, columns: int) -> "NDArray[np.float64]":
    if scores.shape != (rows, columns):
        raise PermanentError(f"{name} answered {scores.shape} for {rows} texts of {columns} labels")
    # A NaN compares as false, so it is caught here too.
    if rows and not (scores.min() >= 0.0 and scores.max() <= 1.0):
        raise PermanentError(f"{name} answered scores that are not from 0 to 1")
    rounded: NDArray[np.float64] = scores.astype("float64").round(DECIMALS)
    return rounded
