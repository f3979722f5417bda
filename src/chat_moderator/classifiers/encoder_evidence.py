"""The way back through the encoder's head: how much each token adds to a logit. numpy only.

What leaves the convolutions times the gradient of the head that reads it (gradient x input, Shrikumar et al., 2017):
one way back, however long the text. Many texts go together, so that the weights are fetched once for all of them.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Reading(NamedTuple):
    """What the network made of one text on its way to the logits, kept for the way back.

    `tokens` (length, features) is what the convolutions said, `said` (length, channels) what of that is weighed
    against the whole text, to which `overview` (channels) adds. The others are what the layers of the head gave, before
    their rectifiers.
    """

    tokens: Floats
    said: Floats
    overview: Floats
    inner: Floats
    spoken: Floats
    peak: Floats
    hidden: Floats


def evidence(
    weights: Mapping[str, Floats], readings: Sequence[Reading], columns: Sequence[Sequence[int]]
) -> list[Floats]:
    """(length, columns) for each text: how much each of its tokens adds to its logits in these columns.

    Args:
        weights: of each layer, by name.
        readings: of each text.
        columns: for each text.
    """
    if not readings:
        return []
    weighed = [np.maximum(each.said + each.overview, 0) for each in readings]
    # A row is one column of one text, those of a text one after another.
    sizes = [len(each) for each in columns]
    of = np.repeat(np.arange(len(readings)), sizes)
    count = np.array([len(each.tokens) for each in readings], np.float32)[of, None]
    root = np.sqrt(count)
    inner, spoken, peak, hidden = (
        np.stack([getattr(each, name) for each in readings])[of] > 0 for name in ("inner", "spoken", "peak", "hidden")
    )
    joint = (hidden * weights["out"].T[np.concatenate(columns)]) @ weights["hidden"].T
    to_spoken = joint[:, : spoken.shape[1]] * spoken
    to_peak = joint[:, spoken.shape[1] :] * peak
    to_mean = to_spoken @ weights["dense_skip"].T
    to_mean += ((to_spoken @ weights["dense_1"].T) * inner) @ weights["dense_0"].T
    to_loudest, to_summed = np.split(to_peak @ weights["weighed"].T, 2, axis=1)
    to_summed = to_summed / root
    speaking = np.stack([(each > 0).sum(axis=0, dtype=np.float32) for each in weighed])[of]
    to_overview = (to_summed * speaking + to_loudest * (speaking > 0)) @ weights["overview"].T
    to_peaks, to_mean_of_all = np.split(to_overview, 2, axis=1)
    to_highest = to_peak @ weights["peak"].T + to_peaks
    to_total = to_mean @ weights["sum"].T / root + to_mean_of_all / count
    found: list[Floats] = []
    begin = 0
    for reading, loud, size in zip(readings, weighed, sizes, strict=True):
        rows = slice(begin, begin + size)
        audible = reading.said * (loud > 0)
        shares = reading.tokens @ to_total[rows].T + audible @ to_summed[rows].T
        shares += _at_highest(reading.tokens, reading.tokens) @ to_highest[rows].T
        shares += _at_highest(loud, audible) @ to_loudest[rows].T
        found.append(shares)
        begin += size
    return found


def _at_highest(rows: Floats, values: Floats) -> Floats:
    """`values` where their column is first at its highest in `rows`, zeros elsewhere."""
    highest = rows == rows.max(axis=0)
    if highest.sum(axis=0).max() > 1:
        highest[:] = False
        highest[rows.argmax(axis=0), np.arange(rows.shape[1])] = True
    found: Floats = values * highest
    return found
