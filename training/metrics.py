"""Measures of scores against labels, each with its interval."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata  # type: ignore[import-untyped]

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

_RESAMPLES: Final = 200
_SEED: Final = 7
_BINS: Final = 15


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
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def share(_: Floats, flags: Flags) -> float:
    """The share of flags that are set."""
    return float(flags.mean()) if len(flags) else float("nan")


def with_interval(measure: Callable[[Floats, Flags], float], scores: Floats, flags: Flags) -> Interval:
    """The measure, and what it is on resampled texts (percentile bootstrap, 200 resamples, fixed seed)."""
    chance = np.random.default_rng(_SEED)
    if not len(flags):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    found = []
    for _ in range(_RESAMPLES):
        drawn = chance.integers(len(flags), size=len(flags))
        found.append(measure(scores[drawn], flags[drawn]))
    low, high = (float("nan"),) * 2 if np.isnan(found).all() else np.nanquantile(found, [0.025, 0.975])
    return Interval(measure(scores, flags), float(low), float(high), len(flags), int(flags.sum()))


def macro_f1(predicted: Flags, positive: Flags) -> float:
    """Mean of the F1 of both classes."""
    both = []
    for wanted in (True, False):
        hits = float(((predicted == wanted) & (positive == wanted)).sum())
        both.append(2 * hits / max(float((predicted == wanted).sum() + (positive == wanted).sum()), 1.0))
    return sum(both) / 2


def calibration_error(scores: Floats, positive: Flags) -> float:
    """Expected calibration error over 15 bins of equal width (Naeini et al., 2015)."""
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    return float(
        sum(
            abs(scores[bins == index].mean() - positive[bins == index].mean()) * (bins == index).mean()
            for index in np.unique(bins)
        )
    )
