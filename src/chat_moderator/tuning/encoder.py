"""The encoder's last layer, tuned: a correction that is linear in what that layer reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chat_moderator.classifiers.encoder import Config, EncoderClassifier, windows_of
from chat_moderator.classifiers.encoder_pieces import UNKNOWN
from chat_moderator.classifiers.encoder_weights import BUNDLED, EncoderWeights
from chat_moderator.classifiers.weights_file import write
from chat_moderator.tuning.reading import Floats
from chat_moderator.tuning.rows import ACTED_ON

_NAME = "encoder.npz"


class EncoderReading:
    """Texts as the shipped encoder reads them (`Reading`). A long one counts by its worst window."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.classifier = EncoderClassifier()
        with np.load(BUNDLED / _NAME, allow_pickle=False) as stored:
            self._stored = {name: stored[name] for name in stored.files}
        weights = EncoderWeights(BUNDLED)
        out, bias = (self._stored[name].astype(np.float32) for name in ("out", "out_bias"))
        acted_on = [index for index, label in enumerate(weights.metadata.labels) if label in ACTED_ON]
        windows: list[Sequence[int]] = []
        starts: list[int] = []
        for text in texts:
            starts.append(len(windows))
            windows += windows_of(weights.pieces.read(text) or [UNKNOWN])
        hidden = weights.network.hidden(windows)
        highest = (hidden @ out[:, acted_on] + bias[acted_on]).max(axis=1)
        ends = [*starts[1:], len(windows)]
        chosen = hidden[[begin + int(highest[begin:end].argmax()) for begin, end in zip(starts, ends, strict=True)]]
        self.logits: Floats = chosen @ out + bias
        self._mean = chosen.mean(axis=0)
        # A feature that is always the same says nothing.
        spread = chosen.std(axis=0)
        self._scale = np.where(spread > 0, 1 / np.maximum(spread, 1e-6), 0) / np.float32(np.sqrt(chosen.shape[1]))
        self._features: Floats = (chosen - self._mean) * self._scale
        self.products: Floats = self._features @ self._features.T + np.float32(1)

    def write(self, shares: Floats, folder: Path, metadata: dict[str, Any]) -> EncoderClassifier:
        """See `Reading.write`; the folder is what `[classifiers.encoder] model` names."""
        added = (self._features.T @ shares) * self._scale[:, None]
        offset = shares.sum(axis=0) - self._mean @ added
        arrays = self._stored | {
            "out": self._stored["out"].astype(np.float32) + added,
            "out_bias": self._stored["out_bias"].astype(np.float32) + offset,
        }
        write(folder / _NAME, arrays, metadata)
        return EncoderClassifier(Config(model=str(folder)))
