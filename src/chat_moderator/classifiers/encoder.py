"""A small multilingual encoder: convolutions over word pieces, so that a word is judged by its neighbours."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers import telling
from chat_moderator.classifiers.encoder_evidence import Reading
from chat_moderator.classifiers.encoder_weights import BUNDLED, EncoderWeights
from chat_moderator.types import Span, Struct

T = TypeVar("T")

_WINDOW: Final = 64
_STEP: Final = 48
_CLOSE_WINDOW: Final = 16
_CLOSE_STEP: Final = 8
_CHUNK: Final = 256
_KEPT: Final = 1536
"""Tokens of texts that were scored 0.5 or more whose reading is kept to be explained; 4 kB each."""

_LARGEST_LOGIT: Final = 30.0


class Config(Struct, frozen=True):
    """`model` is "bundled" or a folder with encoder.npz and encoder.json, as written by the training."""

    model: str = "bundled"


class _Heard(NamedTuple):
    """The logits of each window of a text (windows, labels), and what was made of those that were kept."""

    logits: NDArray[np.float32]
    readings: dict[int, Reading]

    @property
    def size(self) -> int:
        """Tokens of the readings."""
        return sum(len(reading.tokens) for reading in self.readings.values())


class EncoderClassifier:
    """Scores by the encoder (`Classifier`). One thread at a time; forked copies are independent.

    A text longer than 64 pieces is read in windows of 64, one every 48, and again closely, in windows of 16, one every
    8, so that talk around it drowns no abuse. It scores what the worst window scores. What was made of the last texts
    that scored 0.5 or more is kept, so that to explain them costs little more.

    Attributes:
        bundled: whether it is the one that is shipped.
        experimental: labels that had too little data to be trusted.
        pieces: what it reads texts with, and remembers their words in.

    Raises:
        ConfigError: the folder is missing, or its files are not what the metadata names.
    """

    def __init__(self, config: Config | None = None) -> None:
        model = (config or Config()).model
        weights = EncoderWeights(BUNDLED if model == "bundled" else Path(model))
        self.bundled = model == "bundled"
        self.pieces = weights.pieces
        self._network = weights.network
        self.labels: tuple[str, ...] = weights.metadata.labels
        self.experimental: tuple[str, ...] = weights.metadata.experimental
        self.version = f"encoder-{weights.metadata.sha256[:12]}"
        self._heard: OrderedDict[str, _Heard] = OrderedDict()
        self._kept = 0

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(len(texts), len(labels)), each 0 to 1; a row never depends on its neighbours. Without a word it is 0."""
        scores = np.zeros((len(texts), len(self.labels)), np.float32)
        for begin in range(0, len(texts), _CHUNK):
            some = texts[begin : begin + _CHUNK]
            for index, heard in self._hear([self.pieces.read(text) for text in some], least=0.0):
                scores[begin + index] = _scores(heard)
                if heard.readings:
                    self._keep(some[index], heard)
        return scores

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """The words that add most to each label of 0.5 or more, or to the highest one; neighbours are one span.

        In a text that is read in windows they are those of the worst window.
        """
        placed = [self.pieces.placed(text) for text in texts]
        found: list[tuple[Span, ...]] = []
        for stretch in _stretches([len(ids) for ids, _ in placed]):
            found += self._explain([texts[index] for index in stretch], [placed[index] for index in stretch])
        return found

    def _hear(self, sequences: Sequence[Sequence[int]], *, least: float) -> Iterator[tuple[int, _Heard]]:
        """Every sequence that is not empty, by its index; readings only of windows with a logit of `least` or more."""
        parts = [windows_of(ids) for ids in sequences]
        windows = [window for each in parts for window in each]
        logits, readings = self._network.read(windows, least, _KEPT)
        begin = 0
        for index, each in enumerate(parts):
            end = begin + len(each)
            if each:
                kept = {number - begin: readings[number] for number in range(begin, end) if number in readings}
                yield index, _Heard(logits[begin:end], kept)
            begin = end

    def _keep(self, text: str, heard: _Heard) -> None:
        """Remembers what was made of a text and forgets the oldest ones."""
        if text in self._heard:
            self._kept -= self._heard.pop(text).size
        self._heard[text] = heard
        self._kept += heard.size
        while self._kept > _KEPT:
            self._kept -= self._heard.popitem(last=False)[1].size

    def _explain(
        self, texts: Sequence[str], placed: Sequence[tuple[list[int], list[tuple[int, int]]]]
    ) -> list[tuple[Span, ...]]:
        heard = {index: self._heard[text] for index, text in enumerate(texts) if text in self._heard}
        new = [index for index, (ids, _) in enumerate(placed) if ids and index not in heard]
        heard |= {new[at]: found for at, found in self._hear([placed[index][0] for index in new], least=-np.inf)}
        shown = [
            (index, number, columns)
            for index, found in sorted(heard.items())
            for number, columns in _worst(found.logits, telling.columns(_scores(found))).items()
        ]
        missing = [(index, number) for index, number, _ in shown if number not in heard[index].readings]
        _, again = self._network.read([windows_of(placed[index][0])[number] for index, number in missing], -np.inf)
        readings = [
            heard[index].readings.get(number) or again[missing.index((index, number))] for index, number, _ in shown
        ]
        spans: list[list[Span]] = [[] for _ in texts]
        every = self._network.evidence(readings, [columns for _, _, columns in shown])
        for (index, number, columns), evidence in zip(shown, every, strict=True):
            # A window of places has the shape of the window of ids that it belongs to.
            words, shares = _by_word(windows_of(placed[index][1])[number], evidence)
            for place, column in enumerate(columns):
                spans[index] += telling.spans(words, shares[:, place], self.labels[column])
        return [tuple(sorted(each, key=lambda span: (span.start, span.end, span.label))) for each in spans]


def windows_of(ids: Sequence[T]) -> list[Sequence[T]]:
    """All windows in which a text is read; the worst one counts."""
    parts = list(_windows(ids, _WINDOW, _STEP))
    if len(ids) > _WINDOW:
        parts += _windows(ids, _CLOSE_WINDOW, _CLOSE_STEP)
    return parts


def _windows(ids: Sequence[T], size: int, step: int) -> Iterator[Sequence[T]]:
    """Stretches of `size` ids, one every `step`, that cover all; the last may be shorter."""
    for begin in range(0, max(len(ids) - size + step, min(len(ids), 1)), step):
        yield ids[begin : begin + size]


def _scores(heard: _Heard) -> NDArray[np.float32]:
    """(labels,): those of the worst window."""
    worst: NDArray[np.float32] = heard.logits.max(axis=0)
    scores: NDArray[np.float32] = 1 / (1 + np.exp(-worst.clip(-_LARGEST_LOGIT, _LARGEST_LOGIT)))
    return scores


def _worst(logits: NDArray[np.float32], columns: Sequence[int]) -> dict[int, list[int]]:
    """The window that is worst in each column, with its columns."""
    found: dict[int, list[int]] = {}
    for column in columns:
        found.setdefault(int(logits[:, column].argmax()), []).append(column)
    return found


def _stretches(lengths: Sequence[int]) -> Iterator[range]:
    """Stretches of texts that are not too long together, so that what is made of them is not too much."""
    begin = together = 0
    for index, length in enumerate(lengths):
        if index > begin and together + length > _KEPT:
            yield range(begin, index)
            begin, together = index, 0
        together += length
    if begin < len(lengths):
        yield range(begin, len(lengths))


def _by_word(
    places: Sequence[tuple[int, int]], shares: NDArray[np.float32]
) -> tuple[list[tuple[int, int]], NDArray[np.float32]]:
    """Each word once, with what its pieces add together; (words, columns)."""
    words = sorted(set(places))
    row = {word: number for number, word in enumerate(words)}
    sums = np.zeros((len(words), shares.shape[1]), np.float32)
    np.add.at(sums, [row[place] for place in places], shares)
    return words, sums
