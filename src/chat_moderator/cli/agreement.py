"""How far two sets of scores agree."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pairs = dict[str, list[tuple[float, float]]]
"""Our score and theirs for each text, by attribute."""

THRESHOLDS: Final = tuple(round(0.05 * step, 2) for step in range(1, 20))


class Agreement(NamedTuple):
    """Our scores beside theirs for one attribute."""

    attribute: str
    ours: NDArray[np.float64]
    theirs: NDArray[np.float64]

    @property
    def texts(self) -> int:
        """How many were scored by both."""
        return len(self.ours)

    @property
    def correlation(self) -> float:
        """Spearman's rank correlation; NaN where one side always says the same."""
        first, second = _ranks(self.ours), _ranks(self.theirs)
        if np.ptp(first) == 0 or np.ptp(second) == 0:
            return float("nan")
        return float(np.corrcoef(first, second)[0, 1])

    @property
    def difference(self) -> float:
        """The mean of ours minus theirs."""
        return float((self.ours - self.theirs).mean())

    def agreeing(self, threshold: float) -> float:
        """The share of texts that are on the same side of a threshold."""
        return float(((self.ours >= threshold) == (self.theirs >= threshold)).mean())

    def above(self, threshold: float) -> tuple[float, float]:
        """The shares of texts at or above a threshold, by us and by them."""
        return float((self.ours >= threshold).mean()), float((self.theirs >= threshold).mean())


def agreements(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> list[Agreement]:
    """The agreement on each attribute."""
    made = []
    for attribute, both in pairs.items():
        ours, theirs = np.asarray(both, np.float64).T
        made.append(Agreement(attribute, ours, theirs))
    return made


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: NDArray[np.float64] = (ends - 1 - (counts - 1) / 2)[inverse]
    return means
