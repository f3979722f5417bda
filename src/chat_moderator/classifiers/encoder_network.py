"""The encoder's arithmetic: embeddings, three branches of two convolutions, context, pooling, a small head. numpy only.

The convolutions and their sizes follow the multilingual Universal Sentence Encoder (Yang et al., 2019). What a window
reaches is then weighed against the whole text, so that "they are vermin" and the complaint about whoever says so differ
however far apart their words are. Texts lie one after another in one matrix with two rows of zeros between, as far as a
window reaches: none is padded, and none meets its neighbour.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers.encoder_evidence import Reading, evidence
from chat_moderator.classifiers.encoder_tokens import GAP, Floats, TokenLayers

_TOKENS: Final = 512
"""Rows worked on at once: their matrices stay in the second-level cache."""


class _Head(NamedTuple):
    """What the head's layers give before their rectifiers, (sequences, features) each."""

    inner: Floats
    spoken: Floats
    peak: Floats
    hidden: Floats


class _Batch(NamedTuple):
    """Some sequences, whose rows lie one after another in `tokens` and `said`; `starts` are where each begins."""

    tokens: Floats
    said: Floats
    starts: NDArray[np.int64]
    overview: Floats
    head: _Head

    @property
    def hidden(self) -> Floats:
        """(sequences, features): what the last layer reads."""
        return np.maximum(self.head.hidden, 0)

    def reading(self, place: int, length: int) -> Reading:
        """A copy of what was made of one sequence."""
        rows = slice(self.starts[place], self.starts[place] + length)
        return Reading(
            self.tokens[rows].copy(),
            self.said[rows].copy(),
            self.overview[place].copy(),
            *(each[place].copy() for each in self.head),
        )


class EncoderNetwork:
    """Piece ids to logits. One thread at a time.

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
        self._weights = {
            name: np.ascontiguousarray(array, np.float32)
            for name, array in arrays.items()
            if array.dtype in (np.float16, np.float32)
        }
        self._tokens = TokenLayers(table.astype(np.int8), arrays["table_scale"].astype(np.float32), self._weights)
        self._gap = [self._tokens.gap] * GAP
        self.pieces = len(table)
        self.outputs = len(self._weights["out_bias"])
        self.logits([[0]])

    def logits(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """(len(sequences), labels); every sequence holds at least one id."""
        return self._logits(self.hidden(sequences))

    def hidden(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """(len(sequences), features): what the last layer reads."""
        found = np.empty((len(sequences), len(self._weights["out"])), np.float32)
        for indexes, batch in self._batches(sequences):
            found[indexes] = batch.hidden
        return found

    def read(
        self, sequences: Sequence[Sequence[int]], least: float, most: int | None = None
    ) -> tuple[Floats, dict[int, Reading]]:
        """The logits, and what was made of each sequence of which one at least is as high as `least`, by index.

        Of no more than `most` tokens in all, so that an answer may lack some.
        """
        found = np.empty((len(sequences), self.outputs), np.float32)
        kept: dict[int, Reading] = {}
        held = 0
        for indexes, batch in self._batches(sequences):
            logits = self._logits(batch.hidden)
            found[indexes] = logits
            for place in np.flatnonzero(logits.max(axis=1) >= least).tolist():
                length = len(sequences[indexes[place]])
                if most is not None and length > most - held:
                    continue
                held += length
                kept[indexes[place]] = batch.reading(place, length)
        return found, kept

    def evidence(self, readings: Sequence[Reading], columns: Sequence[Sequence[int]]) -> list[Floats]:
        """(length, columns) for each reading: how much each token, in its surroundings, adds to these logits of it."""
        return evidence(self._weights, readings, columns)

    def _logits(self, hidden: Floats) -> Floats:
        found: Floats = hidden @ self._weights["out"] + self._weights["out_bias"]
        return found

    def _batches(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], _Batch]]:
        """All sequences, longest first, as many at once as shall be, with their indexes."""
        order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
        begin = 0
        while begin < len(order):
            end, rows = begin, 0
            while end < len(order) and (end == begin or rows + len(sequences[order[end]]) + GAP <= _TOKENS):
                rows += len(sequences[order[end]]) + GAP
                end += 1
            yield order[begin:end], self._batch([sequences[index] for index in order[begin:end]])
            begin = end

    def _batch(self, sequences: Sequence[Sequence[int]]) -> _Batch:
        """Of sequences sorted by length, longest first."""
        lengths = np.array([len(ids) for ids in sequences])
        ids = np.array([*self._gap, *chain.from_iterable(chain(ids, self._gap) for ids in sequences)])
        starts = GAP + np.cumsum(lengths + GAP) - (lengths + GAP)
        tokens = self._tokens.read(ids)
        total, highest = _pooled(tokens, starts, lengths)
        counts = lengths.astype(np.float32)[:, None]
        said = tokens @ self._weights["context"]
        overview = self._overview(total, highest, counts)
        weighed = np.repeat(overview, lengths + GAP, axis=0)
        weighed += said[GAP:]
        np.maximum(weighed, 0, out=weighed)
        summed, peaks = _pooled(weighed, starts - GAP, lengths)
        root = np.sqrt(counts)
        head = self._head(total, highest, np.concatenate([peaks, summed / root], axis=1), root)
        return _Batch(tokens, said, starts, overview, head)

    def _overview(self, total: Floats, highest: Floats, counts: Floats) -> Floats:
        """(texts, channels): what the whole text adds to each of its tokens before they are weighed."""
        found: Floats = np.concatenate([highest, total / counts], axis=1) @ self._weights["overview"]
        found += self._weights["context_bias"]
        return found

    def _head(self, total: Floats, highest: Floats, pooled: Floats, root: Floats) -> _Head:
        weights = self._weights
        mean = total @ weights["sum"] / root + root * weights["sum_bias"]
        inner = mean @ weights["dense_0"]
        spoken: Floats = mean @ weights["dense_skip"]
        spoken += np.maximum(inner, 0) @ weights["dense_1"]
        peak = highest @ weights["peak"] + pooled @ weights["weighed"] + weights["peak_bias"]
        joint = np.maximum(np.concatenate([spoken, peak], axis=1), 0)
        hidden = joint @ weights["hidden"] + weights["hidden_bias"]
        return _Head(inner, spoken, peak, hidden)


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
