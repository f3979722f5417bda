"""Makes logits into scores at which the default preset's 0.5 (hold) and 0.8 (block) are what they should be on chat."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chat_moderator.types import LABELS
from training.linear import calibrate
from training.rows import Row

HELD: Final = 0.5
REMOVED: Final = 0.8
_REMOVED_LOGIT: Final = math.log(REMOVED / (1 - REMOVED))
_BENIGN: Final = ("irc_ubuntu", "goemotions")
_BASE_RATE: Final = 0.15
_FINE_COUNTS: Final = 3.0
_OTHER_COUNTS: Final = 0.05


class Bounds(NamedTuple):
    """Shares that one label may hold and remove: of benign chat, and of fine written lines, which look alarming."""

    benign_held: float
    benign_removed: float
    fine_held: float
    fine_removed: float


_TOXICITY: Final = Bounds(0.006, 0.0015, 0.04, 0.012)
_OTHERS: Final = Bounds(0.001, 0.0004, 0.008, 0.003)  # several, and toxicity goes with nearly all of them


class Line(NamedTuple):
    """score = sigmoid(slope * logit + offset)."""

    slope: float
    offset: float


def lines(rows: Sequence[Row], logits: NDArray[np.float32]) -> list[Line]:
    """One line a label, from rows no training saw: 0.5 and 0.8 lie where the shares above are reached.

    The slope stays within a factor of three of what makes the score a probability on a mixture like chat (Platt, 1999):
    beyond it the two shares rest on too few texts.
    """
    targets = np.array([row.labels for row in rows], np.float32)
    benign = np.array([row.source in _BENIGN and row.weak for row in rows])
    fine = np.array([row.source == "corpus" and row.verdict == "ok" for row in rows])
    found = []
    for column in range(len(LABELS)):
        known = ~np.isnan(targets[:, column])
        values, wanted = logits[known, column], targets[known, column]
        likely, _ = calibrate(values, wanted, _weights([row for row, k in zip(rows, known, strict=True) if k], wanted))
        innocent = targets[:, column] < HELD if LABELS[column] == "obscene" else np.ones(len(rows), bool)
        bounds = _TOXICITY if column == 0 else _OTHERS
        chat, written = logits[benign & innocent, column], logits[fine & innocent, column]
        hold = max(_quantile(chat, bounds.benign_held), _quantile(written, bounds.fine_held))
        remove = max(_quantile(chat, bounds.benign_removed), _quantile(written, bounds.fine_removed))
        slope = float(np.clip(_REMOVED_LOGIT / max(remove - hold, 1e-3), likely / 3, likely * 3))
        found.append(Line(slope, min(-slope * hold, _REMOVED_LOGIT - slope * remove)))
    return found


def _quantile(values: NDArray[np.float32], above: float) -> float:
    return float(np.quantile(values, 1 - above)) if len(values) else -np.inf


def _weights(rows: Sequence[Row], wanted: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mostly chat, mostly fine: positives are made `_BASE_RATE` of it all."""
    chat = {
        "corpus": _FINE_COUNTS,
        "irc_ubuntu": 0.3,
        "goemotions": 0.5,
        "convabuse": 1.0,
        "sms_spam": 1.0,
        "tgspam": 1.0,
    }
    weights = np.array([chat.get(row.source, _OTHER_COUNTS) for row in rows], np.float32)
    positive = wanted >= 0.5
    share = _BASE_RATE / (1 - _BASE_RATE) * weights[~positive].sum() / max(float(weights[positive].sum()), 1e-9)
    weights[positive] *= share
    return weights
