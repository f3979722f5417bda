"""The encoder's lower half: piece ids to what each token is in its surroundings. numpy only.

What depends on one piece alone, its projection and what it adds to the first convolution from each place of a window,
is computed once and remembered: that is half of the arithmetic, and a few thousand pieces are most of any chat.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

ORDERS: Final = ((2, 0), (3, 1), (5, 2))
"""Width of each branch's window, and how many of its tokens stand before the one it is for."""
GAP: Final = 2
"""Rows of zeros between texts, as far as a window reaches."""
EPSILON: Final = 1e-6
_REMEMBERED: Final = 2048
"""Pieces, of 8 kB each; more than a batch holds."""
_FIRST_PARTS: Final = (0, *np.cumsum([size + 1 for size, _ in ORDERS]).tolist())
"""Where each branch's parts of a piece begin: the piece itself, then what it adds from each place of the window."""


class TokenLayers:
    """Embeddings, projection and three branches of two convolutions, side by side. One thread at a time.

    Args:
        table: (pieces, size) of int8.
        scale: (pieces,), by which each row of the table is multiplied.
        weights: of each layer, by name.
    """

    def __init__(self, table: NDArray[np.int8], scale: Floats, weights: Mapping[str, Floats]) -> None:
        self.gap = len(table)
        """The id that stands for a row of zeros."""
        self._table = np.concatenate([table, np.zeros((1, table.shape[1]), np.int8)])
        self._scale = np.append(scale, np.float32(0))
        self._weights = weights
        self._width = width = weights["first_0_bias"].shape[0]
        self._first = [
            weights[f"first_{branch}"]
            .reshape(size, width, width)
            .transpose(1, 0, 2)
            .reshape(width, size * width)
            .copy()
            for branch, (size, _) in enumerate(ORDERS)
        ]
        self._parts = np.zeros((1 + _REMEMBERED, _FIRST_PARTS[-1], width), np.float32)
        self._forget()

    def read(self, ids: NDArray[np.int64]) -> Floats:
        """(ids, features), each of mean 0 and variance 1. The two ids at either end are gaps."""
        size, width = self._table.shape[1], self._width
        rows = self._look_up(ids)
        gaps = np.flatnonzero(rows == 0)
        features = np.empty((len(ids), size + len(ORDERS) * width), np.float32)
        features[:, :size] = self._embedded(ids)
        features[:GAP], features[-GAP:] = 0, 0
        inner = len(ids) - 2 * GAP
        here = np.zeros((len(ids), width), np.float32)
        for branch, (reach, before) in enumerate(ORDERS):
            self._convolve_first(branch, rows, here[GAP:-GAP])
            here[gaps] = 0
            windows = np.empty((inner, reach * width), np.float32)
            for place in range(reach):
                start = GAP + place - before
                windows[:, place * width : (place + 1) * width] = here[start : start + inner]
            begin = size + branch * width
            said = features[GAP:-GAP, begin : begin + width]
            np.matmul(windows, self._weights[f"second_{branch}"], out=said)
            said += self._weights[f"second_{branch}_bias"]
            np.maximum(said, 0, out=said)
            said += here[GAP:-GAP]
        _standardise(features)
        return features

    def _convolve_first(self, branch: int, rows: NDArray[np.int64], found: Floats) -> None:
        """What each row's window says, added to the row: a sum of remembered parts, so that nothing is multiplied."""
        (size, before), part = ORDERS[branch], _FIRST_PARTS[branch]
        parts = self._parts.reshape(-1, self._width)
        places = rows * _FIRST_PARTS[-1] + part
        inner = len(found)
        # A gap's parts are zeros.
        parts.take(places[GAP - before : GAP - before + inner] + 1, axis=0, out=found, mode="clip")
        for place in range(1, size):
            start = GAP + place - before
            found += parts.take(places[start : start + inner] + (1 + place), axis=0)
        found += self._weights[f"first_{branch}_bias"]
        np.maximum(found, 0, out=found)
        found += parts.take(places[GAP : GAP + inner], axis=0)

    def _look_up(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the parts of each id are remembered; those of a gap at 0."""
        rows = self._rows.take(ids)
        if rows.min() < 0:
            new = np.unique(ids[rows < 0])
            if self._used + len(new) > len(self._parts):
                self._forget()
                new = np.unique(ids[ids != self.gap])
            self._learn(new)
            rows = self._rows.take(ids)
        return rows

    def _forget(self) -> None:
        self._rows = np.full(len(self._table), -1, np.int64)
        self._rows[self.gap] = 0
        self._used = 1

    def _learn(self, ids: NDArray[np.int64]) -> None:
        weights, width = self._weights, self._width
        begin, end = self._used, self._used + len(ids)
        projected = self._embedded(ids) @ weights["project"]
        projected += weights["project_bias"]
        _standardise(projected)
        projected *= weights["project_gain"]
        projected += weights["project_shift"]
        for branch, (size, _) in enumerate(ORDERS):
            here, part = projected[:, branch * width : (branch + 1) * width], _FIRST_PARTS[branch]
            self._parts[begin:end, part] = here
            self._parts[begin:end, part + 1 : part + 1 + size] = (here @ self._first[branch]).reshape(-1, size, width)
        self._rows[ids] = np.arange(begin, end)
        self._used = end

    def _embedded(self, ids: NDArray[np.int64]) -> Floats:
        found = self._table.take(ids, axis=0).astype(np.float32)
        found *= self._scale.take(ids)[:, None]
        return found


def _standardise(rows: Floats) -> None:
    """Gives each row mean 0 and variance 1, in place."""
    size = rows.shape[1]
    rows -= (rows @ np.full(size, 1 / size, np.float32))[:, None]
    rows *= (1 / np.sqrt(np.einsum("ij,ij->i", rows, rows) / size + np.float32(EPSILON)))[:, None]
