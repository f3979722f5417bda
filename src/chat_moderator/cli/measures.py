"""How well scores fit labels: plain functions on arrays."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chat_moderator.tuning.measures import auroc as auroc  # noqa: PLC0414 -- one of the measures here

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]

BINS: Final = 10


class Bin(NamedTuple):
    """Texts whose score lies in one tenth of the scale: how many, their mean score, the share that is positive."""

    texts: int
    score: float
    positive: float


def reliability(scores: Floats, positive: Flags, bins: int = BINS) -> list[Bin | None]:
    """Each stretch of the scale, from 0 on; None where no score lies."""
    places = np.minimum((scores * bins).astype(int), bins - 1)
    groups = [places == number for number in range(bins)]
    return [
        Bin(int(here.sum()), float(scores[here].mean()), float(positive[here].mean())) if here.any() else None
        for here in groups
    ]


def calibration_error(found: list[Bin | None]) -> float:
    """Expected calibration error (Naeini et al., 2015): how far scores lie from what happened, weighed by texts."""
    filled = [each for each in found if each]
    return sum(each.texts * abs(each.score - each.positive) for each in filled) / max(sum(e.texts for e in filled), 1)
