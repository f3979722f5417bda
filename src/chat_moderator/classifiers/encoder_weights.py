"""The weights folder of the encoder, checked when loaded."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers.encoder_network import EncoderNetwork
from chat_moderator.classifiers.encoder_pieces import Pieces
from chat_moderator.errors import ConfigError

BUNDLED: Final = Path(__file__).parent / "weights" / "encoder"
_KEY: Final = "classifiers.encoder.model"
_OF_PIECES: Final = ("pieces", "piece_scores", "known")
_DAMAGED: Final = (KeyError, ValueError, IndexError, TypeError, EOFError)


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a weights file is, stored beside it as JSON. `experimental` names labels that had too little data."""

    sha256: str
    labels: tuple[str, ...]
    experimental: tuple[str, ...] = ()


class EncoderWeights:
    """Pieces and network of a folder with encoder.npz and encoder.json.

    Raises:
        ConfigError: a file is missing, is not the one that the metadata names, or holds something else than an encoder.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "encoder.npz"
        try:
            self.metadata = msgspec.json.decode((folder / "encoder.json").read_bytes(), type=Metadata)
            data = path.read_bytes()
        except (OSError, ValueError) as error:
            raise ConfigError(
                _KEY, f'{error}; allowed are "bundled" and a folder with encoder.npz and encoder.json'
            ) from error
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.metadata.sha256:
            raise ConfigError(_KEY, f"{path} has sha256 {digest}, but encoder.json names {self.metadata.sha256}")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            self.pieces = pieces_of(arrays)
            self.network = EncoderNetwork({name: array for name, array in arrays.items() if name not in _OF_PIECES})
        except (*_DAMAGED, zipfile.BadZipFile, zlib.error) as error:
            raise ConfigError(_KEY, f"{path} does not hold an encoder: {error}") from error
        expected = (len(self.pieces.vocabulary), len(arrays["piece_scores"]), len(self.metadata.labels))
        if expected != (self.network.pieces, self.network.pieces, self.network.outputs):
            raise ConfigError(_KEY, f"{path} does not hold an encoder: pieces, embeddings and labels do not match")


def pieces_of(arrays: Mapping[str, NDArray[Any]]) -> Pieces:
    """What reads texts for the encoder whose arrays these are."""
    pieces, scores, known = (arrays[name] for name in _OF_PIECES)
    words = frozenset(known.tolist())
    return Pieces(
        pieces.tobytes().decode().split("\n"),
        scores.tolist(),
        lambda word: zlib.crc32(word.encode("utf-8", "surrogatepass")) in words,
    )


def bundled_pieces() -> Pieces:
    """What reads texts for the bundled encoder, without the encoder."""
    with np.load(BUNDLED / "encoder.npz", allow_pickle=False) as stored:
        return pieces_of({name: stored[name] for name in _OF_PIECES})
