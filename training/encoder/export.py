"""Writes the weights: the table as int8 with a scale a row, all else as float16, the calibration folded in."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers.weights_file import write as save
from training.encoder.calibration import Line
from training.encoder.narrow import Arrays
from training.encoder.vocabulary import Vocabulary


def quantise(weights: Arrays) -> dict[str, NDArray[Any]]:
    """The weights in the types they are stored in."""
    table = weights["table"]
    scale = (np.abs(table).max(axis=1) / 127 + 1e-9).astype(np.float16).astype(np.float32) + np.float32(1e-7)
    stored: dict[str, NDArray[Any]] = {
        name: array.astype(np.float16) for name, array in weights.items() if name != "table"
    }
    stored["table"] = np.clip(np.round(table / scale[:, None]), -127, 127).astype(np.int8)
    stored["table_scale"] = scale
    return stored


def calibrated(weights: Arrays, lines: list[Line]) -> Arrays:
    """The same network with each label's line in its last layer."""
    slopes = np.array([line.slope for line in lines], np.float32)
    offsets = np.array([line.offset for line in lines], np.float32)
    return weights | {"out": weights["out"] * slopes, "out_bias": weights["out_bias"] * slopes + offsets}


def write(
    folder: Path, weights: Arrays, vocabulary: Vocabulary, known: NDArray[np.uint32], metadata: dict[str, Any]
) -> None:
    """encoder.npz and encoder.json."""
    stored = quantise(weights)
    stored["pieces"] = np.frombuffer("\n".join(vocabulary.pieces).encode(), np.uint8)
    stored["piece_scores"] = np.array(vocabulary.scores, np.float32)
    stored["known"] = known
    save(folder / "encoder.npz", stored, metadata)
