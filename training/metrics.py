"""Measures of scores against labels, each with its interval."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from chat_moderator.cli.measures import auroc as auroc  # noqa: PLC0414 -- one of the measures here
from chat_moderator.cli.measures import calibration_error as error_of
from chat_moderator.cli.measures import reliability
from chat_moderator.tuning.measures import Interval as Interval  # noqa: PLC0414 -- one of the measures here
from chat_moderator.tuning.measures import share as share  # noqa: PLC0414 -- one of the measures here
from chat_moderator.tuning.measures import with_interval as with_interval  # noqa: PLC0414 -- one of the measures here

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

_BINS: Final = 15


def macro_f1(predicted: Flags, positive: Flags) -> float:
    """Mean of the F1 of both classes."""
    both = []
    for wanted in (True, False):
        hits = float(((predicted == wanted) & (positive == wanted)).sum())
        both.append(2 * hits / max(float((predicted == wanted).sum() + (positive == wanted).sum()), 1.0))
    return sum(both) / 2


def calibration_error(scores: Floats, positive: Flags) -> float:
    """Expected calibration error over 15 bins of equal width (Naeini et al., 2015)."""
    return error_of(reliability(scores, positive, _BINS))
