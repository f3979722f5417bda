"""Makes logits into scores at which the default preset's 0.5 (hold) and 0.8 (block) are what they should be on chat."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chat_moderator.types import LABELS
from training.linear import calibrate
from training.own_texts import ACTED_ON
from training.rows import Row

HELD: Final = 0.5
REMOVED: Final = 0.8
_REMOVED_LOGIT: Final = math.log(REMOVED / (1 - REMOVED))
_BENIGN: Final = ("irc_ubuntu", "goemotions")
_BASE_RATE: Final = 0.15
_FINE_COUNTS: Final = 3.0
_OTHER_COUNTS: Final = 0.05


class Bounds(NamedTuple):
    """Shares that may be acted on from a score on: of benign chat, and of fine written lines, which look alarming."""

    benign: float
    fine: float


_HELD_BOUNDS: Final = Bounds(0.009, 0.07)
_REMOVED_BOUNDS: Final = Bounds(0.0025, 0.02)
_ALONE: Final = 0.1
"""What a label other than toxicity, which goes with nearly all of them, may use of these shares by itself."""
_ALLOWANCES: Final = np.linspace(0.05, 1, 39)


class Line(NamedTuple):
    """score = sigmoid(slope * logit + offset)."""

    slope: float
    offset: float


def lines(rows: Sequence[Row], logits: NDArray[np.float32]) -> list[Line]:
    """One line a label, from rows no training saw: 0.5 and 0.8 lie where the shares above are reached.

    The shares are those of all labels together that a verdict follows from. The slope stays within a factor of three of
    what makes the score a probability on a mixture like chat (Platt, 1999): beyond it the two shares rest on too few
    texts. A written line whose twin was learnt with the other verdict tells nothing of others and is left out.
    """
    targets = np.array([row.labels for row in rows], np.float32)
    benign = np.array([row.source in _BENIGN and row.weak for row in rows])
    fine = np.array([row.source == "corpus" and row.verdict == "ok" and not row.paired for row in rows])
    hold = _thresholds(logits, targets, benign, fine, _HELD_BOUNDS)
    remove = _thresholds(logits, targets, benign, fine, _REMOVED_BOUNDS)
    found = []
    for column in range(len(LABELS)):
        known = ~np.isnan(targets[:, column])
        values, wanted = logits[known, column], targets[known, column]
        likely, _ = calibrate(values, wanted, _weights([row for row, k in zip(rows, known, strict=True) if k], wanted))
        apart = max(remove[column] - hold[column], 1e-3)
        slope = float(np.clip(_REMOVED_LOGIT / apart, likely / 3, likely * 3))
        found.append(Line(slope, min(-slope * hold[column], _REMOVED_LOGIT - slope * remove[column])))
    return found


def _thresholds(
    logits: NDArray[np.float32],
    targets: NDArray[np.float32],
    benign: NDArray[np.bool_],
    fine: NDArray[np.bool_],
    bounds: Bounds,
) -> NDArray[np.float64]:
    """The lowest threshold of each label with which all labels together stay within the bounds."""
    together = [LABELS.index(label) for label in ACTED_ON]
    found = np.full(len(LABELS), np.inf)
    for allowance in _ALLOWANCES:
        tried = np.empty(len(LABELS))
        for column, label in enumerate(LABELS):
            share = allowance * (1 if column == 0 else _ALONE)
            innocent = targets[:, column] < HELD if label == "obscene" else np.ones(len(targets), bool)
            tried[column] = max(
                _quantile(logits[benign & innocent, column], share * bounds.benign),
                _quantile(logits[fine & innocent, column], share * bounds.fine),
            )
        acted_on = np.any(logits[:, together] >= tried[together], axis=1)
        within = acted_on[benign].mean() <= bounds.benign and acted_on[fine].mean() <= bounds.fine
        if not (within or allowance == _ALLOWANCES[0]):
            break
        found = tried
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
