"""A small multilingual encoder: convolutions over word pieces, so that a word is judged by its neighbours."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers.encoder_weights import BUNDLED, EncoderWeights
from chat_moderator.text.words import tokens
from chat_moderator.types import Span, Struct

_WINDOW: Final = 64
_STEP: Final = 48
_CLOSE_WINDOW: Final = 16
_CLOSE_STEP: Final = 8
_CHUNK: Final = 256

_NOTABLE_SCORE: Final = 0.5
_NOTABLE_SHARE: Final = 0.35
"""A word is shown if hiding it lowers the score by this share of what hiding the strongest word does."""
_WORDS_TRIED: Final = 48
_LONGEST_HIDDEN: Final = 1_000
"""In texts of more characters each stretch is read by itself: reading all without it takes 48 times as long."""

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
        """The words without which each label scored 0.5 or more, or else the highest, would score lower.

        Up to 48 words, or stretches of words, of a text are tried; neighbours are one span. In a text of more than
        1,000 characters they are the stretches that would score highest alone.
        """
        return [self._explain(text) for text in texts]

    def _score(self, sequences: Sequence[Sequence[int]], scores: NDArray[np.float32]) -> None:
        windows: list[Sequence[int]] = []
        owners: list[int] = []
        for index, ids in enumerate(sequences):
            parts = list(_windows(ids, _WINDOW, _STEP))
            if len(ids) > _WINDOW:
                parts += _windows(ids, _CLOSE_WINDOW, _CLOSE_STEP)
            windows += parts
            owners += [index] * len(parts)
        if windows:
            logits = np.clip(self._network.logits(windows), -_LARGEST_LOGIT, _LARGEST_LOGIT)
            np.maximum.at(scores, owners, 1 / (1 + np.exp(-logits)))

    def _explain(self, text: str) -> tuple[Span, ...]:
        places = [(start, start + len(token)) for token, start in tokens(text)]
        if not places:
            return ()
        scores = self.score([text])[0]
        shown = np.flatnonzero(scores >= _NOTABLE_SCORE)
        labels = shown if len(shown) else np.array([scores.argmax()])
        groups = _groups(places)
        if len(text) > _LONGEST_HIDDEN:
            evidence = self.score([text[start:end] for start, end in groups])
        else:
            without = self.score([f"{text[:start]} {text[end:]}" for start, end in groups])
            evidence = _logit(scores) - _logit(without)
        spans: list[Span] = []
        for label in labels:
            spans += _spans(groups, evidence[:, label], self.labels[label])
        return tuple(sorted(spans, key=lambda span: (span.start, span.end, span.label)))


def _windows(ids: Sequence[int], size: int, step: int) -> Iterator[Sequence[int]]:
    """Stretches of `size` ids, one every `step`, that cover all; the last may be shorter."""
    for begin in range(0, max(len(ids) - size + step, min(len(ids), 1)), step):
        yield ids[begin : begin + size]


def _logit(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    found: NDArray[np.float32] = np.log(clipped / (1 - clipped))
    return found


def _groups(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The words, or stretches of words where there are more than can be tried."""
    size = -(-len(places) // _WORDS_TRIED)
    return [(group[0][0], group[-1][1]) for group in (places[at : at + size] for at in range(0, len(places), size))]


def _spans(places: list[tuple[int, int]], evidence: NDArray[np.float32], label: str) -> Iterator[Span]:
    """Places that carry enough, as spans; neighbours are one span. Where no single one matters, all of them do."""
    strongest = evidence.max()
    if strongest <= 0:
        yield Span(places[0][0], places[-1][1], label)
        return
    start = end = last = -1
    for index in np.flatnonzero(evidence >= _NOTABLE_SHARE * strongest).tolist():
        if start >= 0 and index == last + 1:
            end, last = places[index][1], index
            continue
        if start >= 0:
            yield Span(start, end, label)
        (start, end), last = places[index], index
    yield Span(start, end, label)
