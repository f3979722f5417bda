"""The gate: a tiny network that says, in microseconds, whether a better tier might act on a text.

Not a classifier of its own: what it says has no label and is never shown. It reads the word pieces of the bundled
encoder, three at a time, the rare ones as unknown, and was taught by that encoder's scores.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers.encoder_pieces import UNKNOWN, Pieces
from chat_moderator.classifiers.encoder_weights import bundled_pieces
from chat_moderator.errors import ConfigError

BUNDLED: Final = Path(__file__).parent / "weights" / "cascade" / "gate.npz"
EXITS: Final = BUNDLED.with_name("exits.json")
"""The calibration sample of the bundled tiers and this gate."""
LONGEST: Final = 64
"""Pieces; what is longer is always alarming, because padding could hide anything from a network this small."""

_CHUNK: Final = 256
_LARGEST_LOGIT: Final = 30.0

Floats = NDArray[np.float32]


class _Metadata(msgspec.Struct, frozen=True):
    """What stands beside the weights."""

    sha256: str


class Gate:
    """Texts to alarm, 0 to 1. One thread at a time.

    Args:
        path: an .npz file written by the training, with its .json beside it.
        pieces: the bundled encoder's, which has read what it is then asked about; its own ones if None.

    Raises:
        ConfigError: a file is missing, is not the one that the metadata names, or holds something else.
    """

    def __init__(self, path: Path = BUNDLED, pieces: Pieces | None = None) -> None:
        try:
            metadata = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=_Metadata)
            data = path.read_bytes()
        except (OSError, msgspec.DecodeError) as problem:
            raise ConfigError(str(path), f"cannot be read as a gate: {problem}") from problem
        digest = hashlib.sha256(data).hexdigest()
        if digest != metadata.sha256:
            raise ConfigError(str(path), f"sha256 is {digest}, but its .json names {metadata.sha256}")
        self.version = f"gate-{digest[:12]}"
        self._pieces = pieces or bundled_pieces()
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            own = arrays["pieces"].tobytes().decode().split("\n")
            rows = {piece: row for row, piece in enumerate(own)}
            self._rows = np.array([*(rows.get(piece, UNKNOWN) for piece in self._pieces.vocabulary), len(own)])
            table = arrays["table"].astype(np.float32) * arrays["table_scale"].astype(np.float32)[:, None]
            self._table = np.concatenate([table, np.zeros((1, table.shape[1]), np.float32)])
            self._weights = {
                name: np.ascontiguousarray(arrays[name], np.float32)
                for name in ("window", "window_bias", "hidden", "hidden_bias", "out", "out_bias")
            }
            self.score(["."])
        except (KeyError, ValueError, IndexError, zipfile.BadZipFile, zlib.error) as problem:
            raise ConfigError(str(path), f"does not hold a gate: {problem}") from problem

    def score(self, texts: Sequence[str]) -> Floats:
        """(len(texts),), each 0 to 1; 0 for a text without a word, 1 for one of more than 64 pieces."""
        alarm = np.zeros(len(texts), np.float32)
        read = [self._pieces.read(text) for text in texts]
        short = [index for index, ids in enumerate(read) if 0 < len(ids) <= LONGEST]
        for begin in range(0, len(short), _CHUNK):
            some = short[begin : begin + _CHUNK]
            logits = np.clip(self._logits([read[index] for index in some]), -_LARGEST_LOGIT, _LARGEST_LOGIT)
            alarm[some] = 1 / (1 + np.exp(-logits))
        alarm[[index for index, ids in enumerate(read) if len(ids) > LONGEST]] = 1.0
        return alarm

    def _logits(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """Texts lie one after another with a row of zeros between; (len(sequences),)."""
        weights, gap = self._weights, [len(self._rows) - 1]
        lengths = np.array([len(ids) for ids in sequences])
        starts = np.cumsum(lengths + 1) - (lengths + 1)
        ids = np.array([*gap, *chain.from_iterable(chain(ids, gap) for ids in sequences)])
        rows = self._table.take(self._rows.take(ids), axis=0)
        size = rows.shape[1]
        windows = np.empty((len(rows) - 2, 3 * size), np.float32)
        for place in range(3):
            windows[:, place * size : (place + 1) * size] = rows[place : len(rows) - 2 + place]
        found = windows @ weights["window"]
        found += weights["window_bias"]
        np.maximum(found, 0, out=found)
        found[(starts + lengths)[:-1]] = 0
        root = np.sqrt(lengths.astype(np.float32))[:, None]
        # The rows between are zeros, which neither sum nor, after the rectifier, maximum can notice.
        pooled = np.concatenate(
            [
                np.maximum.reduceat(found, starts),
                np.add.reduceat(found, starts) / root,
                np.add.reduceat(rows[1:-1], starts) / root,
            ],
            axis=1,
        )
        hidden = np.maximum(pooled @ weights["hidden"] + weights["hidden_bias"], 0)
        logits: Floats = (hidden @ weights["out"] + weights["out_bias"])[:, 0]
        return logits
