"""What an epoch is made of: how often each source is seen, disguised copies, and batches of texts of like length."""

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.rows import Row

LONGEST: Final = 40
"""Pieces of a text that are trained on; the first ones."""

_SHARE: Final = {
    "cold_zh": 0.35,
    "davidson": 0.35,  # keyword-sampled: teaches reflexes
    "degibert": 0.5,
    "goemotions": 0.8,
    "irc_ubuntu": 0.3,
    "korean_hate": 0.7,
    "measuring_hate_ken20": 0.4,
    "mlma": 0.4,
    "paradetox": 0.8,
    "toldbr": 0.5,
    "toxic_spans": 0.4,
    "wiki_cat": 0.3,
}
"""What part of a large set's training rows is used at all: none may drown the written chat."""
_UNLABELLED: Final = 0.3
_TIMES: Final = {
    "cold_zh": 0.5,
    "convabuse": 3.0,
    "corpus": 2.0,
    "davidson": 0.7,
    "degibert": 0.7,
    "goemotions": 0.6,
    "grammar": 0.5,
    "hatemoji_build": 1.5,
    "irc_ubuntu": 0.5,
    "korean_hate": 0.7,
    "measuring_hate_ken20": 0.7,
    "mlma": 0.7,
    "paradetox": 0.6,
    "surge_toxicity": 3.0,
    "tgspam": 3.0,
    "toldbr": 0.6,
    "toxic_spans": 0.7,
    "wiki_cat": 0.6,
}
"""How often an epoch shows each of them; below 1, another part every time."""
_CALM: Final = 12  # pieces of a fine line that is said around another one, at most
_WEIGHT: Final = {"corpus": 2.0, "davidson": 0.5, "mlma": 0.5, "irc_ubuntu": 0.7}


class Batch(NamedTuple):
    """Piece ids (texts, longest; -1 after the end), targets and how much each counts (texts, labels)."""

    ids: NDArray[np.int64]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


def thinned(rows: Sequence[Row], chance: random.Random) -> list[Row]:
    """The rows that are used, less what is too many of one kind; a teacher may know what no label says."""
    return [
        row
        for row in rows
        if row.source == "corpus"
        or row.part != "train"
        or chance.random() < (_UNLABELLED if all(map(math.isnan, row.labels)) else _SHARE.get(row.source, 1.0))
    ]


def drawn(rows: Sequence[Row], chance: random.Random) -> list[int]:
    """Indexes of one epoch's rows, in random order."""
    found: list[int] = []
    by_source: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_source[row.source].append(index)
    for source, indexes in sorted(by_source.items()):
        times = _TIMES.get(source, 1.0)
        found += indexes * int(times)
        found += chance.sample(indexes, round((times % 1) * len(indexes)))
    chance.shuffle(found)
    return found


def calm(rows: Sequence[Row], ids: Sequence[Sequence[int]]) -> list[int]:
    """Indexes of short, fine written lines, which change nothing about what stands beside them."""
    return [
        index
        for index, row in enumerate(rows)
        if row.source == "corpus" and row.verdict == "ok" and 0 < len(ids[index]) <= _CALM
    ]


def source_weight(row: Row) -> float:
    """How much a row counts each time it is seen."""
    return _WEIGHT.get(row.source, 1.0)


def batches(
    ids: Sequence[Sequence[int]],
    targets: NDArray[np.float32],
    weights: NDArray[np.float32],
    *,
    size: int,
    chance: random.Random,
) -> Iterator[Batch]:
    """Batches of about `size` texts of like length, in random order; texts without pieces are left out."""
    order = sorted((i for i in range(len(ids)) if ids[i]), key=lambda i: (min(len(ids[i]), LONGEST), chance.random()))
    groups = [order[begin : begin + size] for begin in range(0, len(order), size)]
    chance.shuffle(groups)
    for group in groups:
        yield Batch(padded([ids[i] for i in group]), targets[group], weights[group])


def padded(sequences: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """(texts, longest), -1 after the end of each."""
    found = np.full((len(sequences), min(LONGEST, max(map(len, sequences)))), -1, np.int64)
    for row, ids in zip(found, sequences, strict=True):
        row[: min(len(ids), LONGEST)] = ids[:LONGEST]
    return found
