"""Exact bounds on a share of which a sample was seen. Pure; the standard library only."""

import math
from typing import Final

CONFIDENCE: Final = 0.95
_STEPS: Final = 60


def at_most(events: int, trials: int, share: float) -> float:
    """The probability of `events` or fewer in `trials`, each happening with probability `share` (0 to 1).

    It is the p-value of "the share is `share` or more" when `events` were seen.
    """
    if events >= trials or share <= 0.0:
        return 1.0
    if share >= 1.0:
        return 0.0
    log_share, log_rest = math.log(share), math.log1p(-share)
    whole = math.lgamma(trials + 1)
    terms = (
        whole - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * log_share + (trials - k) * log_rest
        for k in range(events + 1)
    )
    return min(1.0, math.fsum(map(math.exp, terms)))


def upper_bound(events: int, trials: int, *, confidence: float = CONFIDENCE) -> float:
    """The one-sided upper bound of Clopper and Pearson (1934): with `confidence` the true share is not above it.

    1 where nothing was tried.
    """
    low, high = events / trials if trials else 1.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if at_most(events, trials, middle) > 1.0 - confidence:
            low = middle
        else:
            high = middle
    return high
