"""What teachers think of texts, kept by the text's hash so that another row order or a longer corpus does no harm."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS

Floats = NDArray[np.float32]

_HARD_SHARE: Final = 0.5  # of a target that is known, where a teacher spoke; the rest is the teacher's word


def write(path: Path, texts: Sequence[str], probabilities: Floats, metadata: dict[str, Any]) -> None:
    """`probabilities` (texts, labels), in half precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        texts=_hashes(texts),
        probabilities=probabilities.astype(np.float16),
        metadata=np.frombuffer(json.dumps(metadata).encode(), np.uint8),
    )


def read(paths: Sequence[Path], texts: Sequence[str]) -> Floats:
    """The mean of what the files say of each text, (texts, labels); NaN where none knows it.

    Raises:
        ConfigError: a file is not what `write` writes.
    """
    total = np.zeros((len(texts), len(LABELS)), np.float32)
    count = np.zeros((len(texts), 1), np.float32)
    wanted = _hashes(texts)
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as stored:
                known, said = stored["texts"], stored["probabilities"].astype(np.float32)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError("--soft", f"{path} is not a teacher's answers: {error}") from error
        order = np.argsort(known)
        places = np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)
        here = known[order][places] == wanted
        total[here] += said[order][places[here]]
        count[here] += 1
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.float32(np.nan))


def blended(labels: Floats, said: Floats) -> Floats:
    """What to learn (texts, labels): labels and teachers half and half where both speak; NaN where neither does."""
    targets: Floats = np.where(np.isnan(labels), said, labels)
    both = ~np.isnan(labels) & ~np.isnan(said)
    targets[both] = _HARD_SHARE * labels[both] + (1 - _HARD_SHARE) * said[both]
    return targets


def _hashes(texts: Sequence[str]) -> NDArray[np.uint64]:
    digests = (hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), np.uint64)
