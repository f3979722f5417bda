"""Writes what was learnt as the file that the classifier loads."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

_LEVELS: Final = 127
_CLIPPED: Final = 1e-5
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def quantise(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 roots of the weights (features, labels), so that small ones keep their detail, and the scale of each label.

    A weight is `sign(q) * q**2 * scale`; the rarest extremes are clipped.
    """
    scale = np.maximum(np.quantile(np.abs(weights), 1 - _CLIPPED, axis=0), 1e-9).astype(np.float32) / _LEVELS**2
    roots = np.sign(weights) * np.sqrt(np.abs(weights) / scale)
    return np.clip(np.rint(roots), -_LEVELS, _LEVELS).astype(np.int8), scale


def most_telling(weights: NDArray[np.float32], frequency: NDArray[np.int64], kept: int) -> NDArray[np.int64]:
    """Indexes, ascending, of the features that move the logits of the training texts most, labels taken together."""
    spread = np.maximum(weights.std(axis=0), 1e-9)
    importance = np.sqrt(((weights / spread) ** 2).sum(axis=1) * np.sqrt(frequency))
    return np.sort(np.argsort(-importance, kind="stable")[:kept])


def save(path: Path, arrays: dict[str, NDArray[Any]], metadata: dict[str, Any]) -> None:
    """Writes `path` (.npz) and its .json, which names its sha256; the same input gives the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), member.getvalue(), zipfile.ZIP_DEFLATED, 9)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed.getvalue())
    pinned = {"sha256": hashlib.sha256(packed.getvalue()).hexdigest(), **metadata}
    path.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(pinned), indent=2) + b"\n")
