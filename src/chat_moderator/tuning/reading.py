"""What a classifier that can be tuned shows of the texts it is tuned to."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chat_moderator.protocols import Classifier

Floats = NDArray[np.float32]


class Reading(Protocol):
    """Texts as a classifier sees them.

    Attributes:
        logits: its answers, (texts, labels).
        products: of the features of each pair of texts, (texts, texts); a text's with itself is about 2.
    """

    logits: Floats
    products: Floats

    @property
    def classifier(self) -> Classifier:
        """As shipped."""

    def write(self, shares: Floats, folder: Path, metadata: dict[str, Any]) -> Classifier:
        """Writes the classifier with each text's share in its correction, (texts, labels), and loads what it wrote."""
