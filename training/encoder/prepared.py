"""Rows and vocabulary, read once and kept beside the checkpoints while what they were read from is unchanged."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from training.encoder.mixture import thinned
from training.encoder.source import Source, read, starting_weights
from training.encoder.vocabulary import Vocabulary, choose
from training.features import vocabulary
from training.grammar import SOURCE as GRAMMAR
from training.romanise import romanise
from training.rows import Row
from training.train import assume, fingerprint, gather

_SEED: Final = 11
_COMPOSED: Final = 6000
"""Lines that the grammar adds for each language."""


class Prepared(NamedTuple):
    """Everything that training starts from. `known` is for the text layer, `folder` for checkpoints."""

    rows: list[Row]
    known: frozenset[str]
    vocabulary: Vocabulary
    source: Source
    data: dict[str, str]
    folder: Path


def prepare(data: Path, corpus: Path, wheel: Path, work: Path, console: Console, *, share_alike: bool) -> Prepared:
    """Rows that may be trained or calibrated on, and the pieces to read them with.

    Raises:
        ConfigError: a set or the wheel is missing or malformed.
    """
    hashes = fingerprint(data, corpus)
    source = read(wheel)
    name = hashlib.sha256(repr([sorted(hashes.items()), source.sha256, share_alike]).encode()).hexdigest()[:12]
    folder = work / name
    stored, table = folder / "rows.msgpack", folder / "pieces.npz"
    if stored.is_file() and table.is_file():
        rows = msgspec.msgpack.decode(stored.read_bytes(), type=list[Row])
        with np.load(table, allow_pickle=False) as arrays:
            words, pieces = (arrays[key].tobytes().decode().split("\n") for key in ("known", "pieces"))
            kept = Vocabulary(pieces, arrays["scores"].tolist(), arrays["table"])
        return Prepared(rows, frozenset(words), kept, source, hashes, folder)
    console.print("reading the sets")
    rows = thinned(gather(data, corpus, share_alike=share_alike, composed=_COMPOSED), random.Random(_SEED))
    assume(rows)
    rows += _romanised(rows, random.Random(_SEED))
    training = [row for row in rows if row.part == "train"]
    texts = [row.text for row in training]
    console.print(f"{len(texts):,} rows to train on; choosing pieces")
    known = vocabulary(texts)
    # What is composed repeats its words too often to count, but for Hindi, of which the source knows nothing.
    spoken = [row.text for row in training if row.source != GRAMMAR or row.language == "hi"]
    chosen = choose(source, texts, spoken, known.__contains__)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        table,
        known=np.frombuffer("\n".join(sorted(known)).encode(), np.uint8),
        pieces=np.frombuffer("\n".join(chosen.pieces).encode(), np.uint8),
        scores=np.array(chosen.scores, np.float32),
        table=chosen.table,
    )
    stored.write_bytes(msgspec.msgpack.encode(rows))
    return Prepared(rows, known, chosen, source, hashes, folder)


def _romanised(rows: list[Row], chance: random.Random) -> Iterator[Row]:
    """Copies of Hindi training rows in the letters that most people type it in."""
    for row in rows:
        if row.part == "train" and row.language == "hi" and (text := romanise(row.text, chance)) != row.text:
            yield msgspec.structs.replace(row, id=f"{row.id}/latin", text=text)


def start(prepared: Prepared) -> dict[str, NDArray[np.float32]]:
    """The pretrained layers and the chosen pieces' embeddings."""
    return starting_weights(prepared.source) | {"table": prepared.vocabulary.table}
