"""Makes what was learnt small enough to ship."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_LEVELS: Final = 127
_CLIPPED: Final = 1e-5


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
