"""A small multilingual encoder: convolutions over word pieces, so that a word is judged by its neighbours."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers import telling
from chat_moderator.classifiers.encoder_weights import BUNDLED, EncoderWeights
from chat_moderator.types import Span, Struct

T = TypeVar("T")

_WINDOW: Final = 64
_STEP: Final = 48
_CLOSE_WINDOW: Final = 16
_CLOSE_STEP: Final = 8
_CHUNK: Final = 256

_LARGEST_LOGIT: Final = 30.0


class Config(Struct, frozen=True):
    """`model` is "bundled" or a folder with encoder.npz and encoder.json, as written by the training."""

    model: str = "bundled"


class EncoderClassifier:
    """Scores by the encoder (`Classifier`). One thread at a time; forked copies are independent.

    A text longer than 64 pieces is read in windows of 64, one every 48, and again closely, in windows of 16, one every
    8, so that talk around it drowns no abuse. It scores what the worst window scores.

    Attributes:
        experimental: labels that had too little data to be trusted.

    Raises:
        ConfigError: the folder is missing, or its files are not what the metadata names.
    """

    def __init__(self, config: Config | None = None) -> None:
        model = (config or Config()).model
        weights = EncoderWeights(BUNDLED if model == "bundled" else Path(model))
        self._pieces = weights.pieces
        self._network = weights.network
        self.labels: tuple[str, ...] = weights.metadata.labels
        self.experimental: tuple[str, ...] = weights.metadata.experimental
        self.version = f"encoder-{weights.metadata.sha256[:12]}"

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(len(texts), len(labels)), each 0 to 1; a row never depends on its neighbours. Without a word it is 0."""
        scores = np.zeros((len(texts), len(self.labels)), np.float32)
        for begin in range(0, len(texts), _CHUNK):
            self._score(
                [self._pieces.read(text) for text in texts[begin : begin + _CHUNK]], scores[begin : begin + _CHUNK]
            )
        return scores

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """The words that add most to each label of 0.5 or more, or to the highest one; neighbours are one span.

        In a text that is read in windows they are those of the worst window.
        """
        return [self._explain(text) for text in texts]

    def _score(self, sequences: Sequence[Sequence[int]], scores: NDArray[np.float32]) -> None:
        windows: list[Sequence[int]] = []
        owners: list[int] = []
        for index, ids in enumerate(sequences):
            parts = windows_of(ids)
            windows += parts
            owners += [index] * len(parts)
        if windows:
            logits = np.clip(self._network.logits(windows), -_LARGEST_LOGIT, _LARGEST_LOGIT)
            np.maximum.at(scores, owners, 1 / (1 + np.exp(-logits)))

    def _explain(self, text: str) -> tuple[Span, ...]:
        ids, places = self._pieces.placed(text)
        if not ids:
            return ()
        # A window of places has the shape of the window of ids that it belongs to.
        windows = list(zip(windows_of(ids), windows_of(places), strict=True))
        logits = self._network.logits([window for window, _ in windows])
        worst = logits.argmax(axis=0)
        evidence: dict[int, NDArray[np.float32]] = {}
        found: list[Span] = []
        for column in telling.columns(1 / (1 + np.exp(-logits.max(axis=0)))):
            window, inside = windows[worst[column]]
            if worst[column] not in evidence:
                evidence[worst[column]] = self._network.evidence(window)
            words, shares = _by_word(inside, evidence[worst[column]][:, column])
            found += telling.spans(words, shares, self.labels[column])
        return tuple(sorted(found, key=lambda span: (span.start, span.end, span.label)))


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


def _by_word(
    places: Sequence[tuple[int, int]], shares: NDArray[np.float32]
) -> tuple[list[tuple[int, int]], NDArray[np.float32]]:
    """Each word once, with what its pieces add together."""
    words = sorted(set(places))
    row = {word: number for number, word in enumerate(words)}
    sums = np.zeros(len(words), np.float32)
    np.add.at(sums, [row[place] for place in places], shares)
    return words, sums
