"""The bundled cascade as one classifier, so that it is measured beside its tiers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chat_moderator.app import build_cascade, build_policy
from chat_moderator.config import CascadeSettings, Settings
from chat_moderator.types import LABELS, Span

SETTINGS = Settings(cascade=CascadeSettings(tiers=("ngram", "encoder"), hints=()))


class CascadeClassifier:
    """The cascade under the default preset (`Classifier`); hints are left out, since they are no scores."""

    labels: tuple[str, ...] = LABELS

    def __init__(self) -> None:
        self._cascade = build_cascade(SETTINGS)
        self._limits = build_policy(SETTINGS).limits
        self.version = self._cascade.version

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(len(texts), len(labels)), each 0 to 1, of the tier that answers each text."""
        rows = [list(found.scores.values()) for found in self._cascade.assess(texts, self._limits)]
        return np.array(rows, np.float32).reshape(-1, len(LABELS))

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """What the tier that answers each text says."""
        tiers = [found.tier for found in self._cascade.assess(texts, self._limits)]
        return self._cascade.explain(texts, tiers)
