"""Makes the calibration sample of a cascade: what every tier says of every text."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from chat_moderator.moderator.cascade import Cascade
from chat_moderator.moderator.exits import Sample, sample

_BATCH: Final = 256


def calibrate(cascade: Cascade, texts: Sequence[str], tick: Callable[[int], None] = lambda _: None) -> Sample:
    """The sample from which early exits of the cascade are chosen.

    Args:
        cascade: of two tiers or more.
        texts: at least one; they stand for the chat that is to be judged.
        tick: is told after each batch how many texts were done.

    Raises:
        PermanentError: a classifier answered something other than numbers from 0 to 1.
    """
    exits = range(len(cascade.tiers) - 1)
    levels, top = [list[np.ndarray]() for _ in exits], list[np.ndarray]()
    for begin in range(0, len(texts), _BATCH):
        some = texts[begin : begin + _BATCH]
        *lower, last = cascade.measure(some)
        for number in exits:
            levels[number].append(cascade.levels(number, some, lower[number]))
        top.append(last)
        tick(len(some))
    joined = [np.concatenate(each) for each in levels]
    return sample(cascade.versions, cascade.labels, joined, np.concatenate(top), gate=cascade.gate)
