"""Measures of scores against labels, with bootstrap intervals."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
Measure = Callable[[Floats, Flags], float]

_SEED: Final = 7
_TAILS: Final = (0.025, 0.975)


class Interval(NamedTuple):
    """A value with its 95% bootstrap interval, and on how many texts (and positives) it rests."""

    value: float
    low: float
    high: float
    texts: int
    positives: int = 0

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auroc(scores: Floats, positive: Flags) -> float:
    """Area under the ROC curve; NaN with one class only. Ties count half."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def share(_: Floats, flags: Flags) -> float:
    """The share of flags that are set; NaN without any."""
    return float(flags.mean()) if len(flags) else float("nan")


def with_interval(measure: Measure, scores: Floats, flags: Flags, *, resamples: int = 200) -> Interval:
    """The measure, and what it is on resampled texts (percentile bootstrap of Efron, 1979; fixed seed)."""
    return _interval(lambda some: measure(scores[some], flags[some]), len(flags), int(flags.sum()), resamples)


def change(measure: Measure, before: Floats, after: Floats, flags: Flags, *, resamples: int = 200) -> Interval:
    """By how much the measure rises from one set of scores to another of the same texts, resampled in pairs."""

    def rise(some: NDArray[np.int64]) -> float:
        return measure(after[some], flags[some]) - measure(before[some], flags[some])

    return _interval(rise, len(flags), int(flags.sum()), resamples)


def _interval(of: Callable[[NDArray[np.int64]], float], texts: int, positives: int, resamples: int) -> Interval:
    nothing = float("nan")
    if not texts:
        return Interval(nothing, nothing, nothing, 0)
    chance = np.random.default_rng(_SEED)
    found = [of(chance.integers(texts, size=texts)) for _ in range(resamples)]
    low, high = (nothing, nothing) if np.isnan(found).all() else np.nanquantile(found, _TAILS)
    return Interval(of(np.arange(texts)), float(low), float(high), texts, positives)
