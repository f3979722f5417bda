"""Scores on Perspective's scale, so that a threshold that was chosen for Perspective keeps its meaning.

A scale is a ridge regression of Perspective's own TOXICITY score, in logits, on our labels' scores and on hashed words
and their pieces, followed by a monotone curve that gives the result Perspective's distribution. `python -m
training.perspective` makes one for the model that is shipped; it belongs to that version of the model and no other.
"""

import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from chat_moderator.types import LABELS, Assessment

FOLDER: Final = Path(__file__).parent / "weights" / "perspective"
BUCKETS: Final = 2**17
PIECES: Final = (2, 5)
WORD_WEIGHT: Final = 1.5
TRAITS: Final = 5
DECIMALS: Final = 4
_LEAST: Final = 1e-4
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*|[^\w\s]+|_+")

log = logging.getLogger(__name__)


class Scale:
    """One version of the scale.

    Args:
        path: made by `python -m training.perspective`.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as file:
            self.version = int(file["version"])
            self.model = str(file["model"])
            self._evidence = file["evidence"].astype(np.float32) * np.float32(file["unit"])
            self._labels = file["labels"].astype(np.float64)
            self._traits = file["traits"].astype(np.float64)
            self._bias = float(file["bias"])
            self._from = file["curve_from"].astype(np.float64)
            self._to = file["curve_to"].astype(np.float64)
        self._of_word = lru_cache(65_536)(self._weigh)

    def values(self, texts: Sequence[str], assessments: Sequence[Assessment]) -> list[float]:
        """Toxicity on Perspective's scale for each text and what was found in it, 0 to 1, to four decimals."""
        found = [self._score(text, assessment) for text, assessment in zip(texts, assessments, strict=True)]
        curved = np.interp(np.asarray(found), self._from, self._to)
        return [round(float(value), DECIMALS) for value in curved]

    def _score(self, text: str, assessment: Assessment) -> float:
        given = words(text)
        evidence = sum(map(self._of_word, given)) / max(len(given), 1) ** 0.5
        return float(
            evidence
            + self._labels @ logits([assessment.scores.get(label, 0.0) for label in LABELS])
            + self._traits @ traits(text, len(given))
            + self._bias
        )

    def _weigh(self, word: str) -> float:
        return float(sum(self._evidence[bucket] * weight for bucket, weight in buckets(word)))


class Scales:
    """The scale of the model that runs; without one, every score is given as it is.

    Args:
        model: its version.
        folder: where scales are.

    Attributes:
        latest: the number of the scale; 0 where the model has none.
    """

    def __init__(self, model: str, folder: Path = FOLDER) -> None:
        fitting = [scale for path in sorted(folder.glob("*.npz")) if (scale := Scale(path)).model == model]
        self.model = model
        self._scale = max(fitting, key=lambda scale: scale.version, default=None)
        self.latest = self._scale.version if self._scale is not None else 0
        if self._scale is None:
            log.warning(
                "model %s has no scale of Perspective: its attributes are given as the model scores them", model
            )

    def values(self, label: str, version: int, texts: Sequence[str], assessments: Sequence[Assessment]) -> list[float]:
        """The scores of a label under a version of the scale; version 0 is as the model scores."""
        if version and self._scale is not None and label == "toxicity":
            return self._scale.values(texts, assessments)
        return [assessment.scores.get(label, 0.0) for assessment in assessments]


def words(text: str) -> list[str]:
    """Words and runs of marks, in lower case."""
    found: list[str] = _WORD.findall(text.lower())
    return found


@lru_cache(65_536)
def buckets(word: str) -> tuple[tuple[int, float], ...]:
    """The hashed features of a word with their weights: itself, and its pieces."""
    framed = f" {word} "
    shortest, longest = PIECES
    pieces = [
        (size, framed[start : start + size])
        for size in range(shortest, longest + 1)
        for start in range(len(framed) - size + 1)
    ]
    weight = float(len(pieces)) ** -0.5
    return (
        (crc32(word.encode()) % BUCKETS, WORD_WEIGHT),
        *((crc32(piece.encode(), size) % BUCKETS, weight) for size, piece in pieces),
    )


def traits(text: str, count: int) -> NDArray[np.float64]:
    """What else tells: the number of words, capitals, and how the text ends."""
    length = np.log(count + 1) - 3
    letters = sum(map(str.isalpha, text))
    capitals = sum(map(str.isupper, text)) / max(letters, 1)
    last = text.rstrip()[-1:]
    return np.array([length, length**2 / 2, 2 * capitals**0.5, last == "?", last == "!"], np.float64)


def logits(scores: Sequence[float]) -> NDArray[np.float64]:
    """Scores as a fifth of their log-odds, bounded where they are 0 or 1."""
    given = np.asarray(scores, np.float64)
    odds: NDArray[np.float64] = 0.2 * np.log((given + _LEAST) / (1 - given + _LEAST))
    return odds
