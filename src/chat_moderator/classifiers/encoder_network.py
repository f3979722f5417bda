"""The encoder's arithmetic: embeddings, three branches of two convolutions, context, pooling, a small head. numpy only.

The convolutions and their sizes follow the multilingual Universal Sentence Encoder (Yang et al., 2019). What a window
reaches is then weighed against the whole text, so that "they are vermin" and the complaint about whoever says so differ
however far apart their words are. Texts lie one after another in one matrix with two rows of zeros between, as far as a
window reaches: none is padded, and none meets its neighbour.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

ORDERS: Final = ((2, 0), (3, 1), (5, 2))
"""Width of each branch's window, and how many of its tokens stand before the one it is for."""
GAP: Final = 2
EPSILON: Final = 1e-6
_TOKENS: Final = 512
"""Rows worked on at once: their matrices stay in the second-level cache."""


class EncoderNetwork:
    """Piece ids to logits.

    Args:
        arrays: `table` (pieces, int8) with `table_scale`, and the weights of each layer.

    Raises:
        KeyError: an array is missing.
        ValueError: the arrays do not fit together.
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        table = arrays["table"]
        if table.dtype != np.int8:
            raise ValueError(f"table is {table.dtype}, not int8")
        self._table = np.concatenate([table, np.zeros((1, table.shape[1]), np.int8)])
        self._scale = np.append(arrays["table_scale"].astype(np.float32), np.float32(0))
        self._gap = [len(table)] * GAP
        self._weights = {
            name: np.ascontiguousarray(array, np.float32)
            for name, array in arrays.items()
            if array.dtype in (np.float16, np.float32)
        }
        self._width = self._weights["first_0_bias"].shape[0]
        self.pieces = len(table)
        self.outputs = len(self._weights["out_bias"])
        self.logits([[0]])

    def logits(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """(len(sequences), labels); every sequence holds at least one id."""
        found: Floats = self.hidden(sequences) @ self._weights["out"] + self._weights["out_bias"]
        return found

    def hidden(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """(len(sequences), features): what the last layer reads."""
        found = np.empty((len(sequences), len(self._weights["out"])), np.float32)
        order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
        begin = 0
        while begin < len(order):
            end, rows = begin, 0
            while end < len(order) and (end == begin or rows + len(sequences[order[end]]) + GAP <= _TOKENS):
                rows += len(sequences[order[end]]) + GAP
                end += 1
            found[order[begin:end]] = self._batch([sequences[index] for index in order[begin:end]])
            begin = end
        return found

    def evidence(self, ids: Sequence[int]) -> Floats:
        """(len(ids), labels): how much each token, in its surroundings, adds to each logit.

        What leaves the convolutions times the gradient of the head that reads it (gradient x input, Shrikumar et al.,
        2017): one reading and one way back, however long the text.
        """
        weights = self._weights
        length = len(ids)
        root = np.sqrt(np.float32(length))
        tokens = self._tokens(np.array([*self._gap, *ids, *self._gap]))[GAP:-GAP]
        total, highest = tokens.sum(axis=0)[None], tokens.max(axis=0)[None]
        said = tokens @ weights["context"]
        weighed = np.maximum(said + self._overview(total, highest, np.float32(length)), 0)
        mean = total @ weights["sum"] / root + root * weights["sum_bias"]
        inner = mean @ weights["dense_0"]
        spoken = mean @ weights["dense_skip"] + np.maximum(inner, 0) @ weights["dense_1"]
        pooled = np.concatenate([weighed.max(axis=0), weighed.sum(axis=0) / root])[None]
        peak = highest @ weights["peak"] + pooled @ weights["weighed"] + weights["peak_bias"]
        hidden = self._head(total, highest, pooled, root)
        joint = ((hidden > 0) * weights["out"].T) @ weights["hidden"].T
        to_spoken = joint[:, : spoken.shape[1]] * (spoken > 0)
        to_peak = joint[:, spoken.shape[1] :] * (peak > 0)
        to_mean = to_spoken @ weights["dense_skip"].T
        to_mean += ((to_spoken @ weights["dense_1"].T) * (inner > 0)) @ weights["dense_0"].T
        to_highest, to_summed = np.split(to_peak @ weights["weighed"].T, 2, axis=1)
        # (labels, tokens, channels): what each channel of each token, weighed against the whole, adds to each label.
        to_weighed = np.repeat(to_summed[:, None] / root, length, axis=1)
        to_weighed[:, weighed.argmax(axis=0), np.arange(weighed.shape[1])] += to_highest
        to_weighed *= weighed > 0
        to_overview = to_weighed.sum(axis=1) @ weights["overview"].T
        to_peaks, to_mean_of_all = np.split(to_overview, 2, axis=1)
        to_total = to_mean @ weights["sum"].T / root + to_mean_of_all / length
        found: Floats = tokens @ to_total.T + np.einsum("ltc,tc->tl", to_weighed, said)
        np.add.at(found, tokens.argmax(axis=0), (highest * (to_peak @ weights["peak"].T + to_peaks)).T)
        return found

    def _batch(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """Of sequences sorted by length, longest first."""
        lengths = np.array([len(ids) for ids in sequences])
        ids = np.array([*self._gap, *chain.from_iterable(chain(ids, self._gap) for ids in sequences)])
        starts = GAP + np.cumsum(lengths + GAP) - (lengths + GAP)
        tokens = self._tokens(ids)
        total, highest = _pooled(tokens, starts, lengths)
        counts = lengths.astype(np.float32)[:, None]
        weighed = tokens @ self._weights["context"]
        weighed[GAP:] += np.repeat(self._overview(total, highest, counts), lengths + GAP, axis=0)
        np.maximum(weighed, 0, out=weighed)
        summed, peaks = _pooled(weighed, starts, lengths)
        root = np.sqrt(counts)
        return self._head(total, highest, np.concatenate([peaks, summed / root], axis=1), root)

    def _tokens(self, ids: NDArray[np.int64]) -> Floats:
        """(ids, features): what each token is in its surroundings. The first and last two ids are gaps."""
        weights, width = self._weights, self._width
        gaps = np.flatnonzero(ids == self._gap[0])
        embedded = self._table.take(ids, axis=0).astype(np.float32)
        embedded *= self._scale[ids][:, None]
        projected = embedded @ weights["project"]
        projected += weights["project_bias"]
        _standardise(projected)
        projected *= weights["project_gain"]
        projected += weights["project_shift"]
        projected[gaps] = 0
        size = embedded.shape[1]
        features = np.empty((len(ids), size + len(ORDERS) * width), np.float32)
        features[:, :size] = embedded
        for branch, order in enumerate(ORDERS):
            here = projected[:, branch * width : (branch + 1) * width]
            here = self._convolve(here, f"first_{branch}", order)
            here[gaps] = 0
            begin = size + branch * width
            features[:, begin : begin + width] = self._convolve(here, f"second_{branch}", order)
        _standardise(features)
        return features

    def _convolve(self, rows: Floats, name: str, order: tuple[int, int]) -> Floats:
        """What each row's window says, added to the row."""
        size, before = order
        width = rows.shape[1]
        inner = len(rows) - 2 * GAP
        windows = np.empty((inner, size * width), np.float32)
        for place in range(size):
            start = GAP + place - before
            windows[:, place * width : (place + 1) * width] = rows[start : start + inner]
        found = np.zeros((len(rows), width), np.float32)
        said = found[GAP : GAP + inner]
        np.matmul(windows, self._weights[name], out=said)
        said += self._weights[f"{name}_bias"]
        np.maximum(said, 0, out=said)
        said += rows[GAP : GAP + inner]
        return found

    def _overview(self, total: Floats, highest: Floats, counts: Floats | np.float32) -> Floats:
        """(texts, channels): what the whole text adds to each of its tokens before they are weighed."""
        found: Floats = np.concatenate([highest, total / counts], axis=1) @ self._weights["overview"]
        found += self._weights["context_bias"]
        return found

    def _head(self, total: Floats, highest: Floats, pooled: Floats, root: Floats) -> Floats:
        weights = self._weights
        mean = total @ weights["sum"] / root + root * weights["sum_bias"]
        inner = np.maximum(mean @ weights["dense_0"], 0)
        spoken = np.maximum(mean @ weights["dense_skip"] + inner @ weights["dense_1"], 0)
        peak = np.maximum(highest @ weights["peak"] + pooled @ weights["weighed"] + weights["peak_bias"], 0)
        found: Floats = np.concatenate([spoken, peak], axis=1) @ weights["hidden"] + weights["hidden_bias"]
        return np.maximum(found, 0)


def _pooled(rows: Floats, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Sum and maximum over each text's rows, (texts, features) each; texts are sorted by length, longest first."""
    total = rows[starts]
    highest = total.copy()
    for step in range(1, int(lengths[0])):
        longer = int(np.searchsorted(-lengths, -step))
        here = rows[starts[:longer] + step]
        total[:longer] += here
        np.maximum(highest[:longer], here, out=highest[:longer])
    return total, highest


def _standardise(rows: Floats) -> None:
    """Gives each row mean 0 and variance 1, in place."""
    size = rows.shape[1]
    rows -= (rows @ np.full(size, 1 / size, np.float32))[:, None]
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows) / size + np.float32(EPSILON))[:, None]
