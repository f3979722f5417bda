"""The presets: what is blocked and held, and what follows, where the operator says nothing."""

from typing import Final

from chat_moderator.policy.config import PresetName
from chat_moderator.types import LABELS, Struct


class Preset(Struct, frozen=True):
    """Thresholds by label, above 0 and at most 1, and actions by verdict.

    A label without a threshold never blocks or holds by its score. `escalations` are actions that are added whenever
    the label decides.
    """

    blocks: dict[str, float]
    holds: dict[str, float]
    block_actions: tuple[str, ...] = ("delete", "reply")
    hold_actions: tuple[str, ...] = ("hold",)
    escalations: dict[str, tuple[str, ...]] = {}


# Swearing harms nobody by itself, and somebody who speaks of hurting themselves needs a person, not a deletion.
_ABUSE: Final = tuple(label for label in LABELS if label not in {"obscene", "self_harm"})

_ESCALATIONS: Final[dict[str, tuple[str, ...]]] = {"self_harm": ("alert",)}

PRESETS: Final[dict[PresetName, Preset]] = {
    "youth": Preset(
        blocks=dict.fromkeys(_ABUSE, 0.6) | {"threat": 0.5, "sexual_explicit": 0.5, "obscene": 0.8},
        holds=dict.fromkeys(_ABUSE, 0.35) | {"threat": 0.3, "sexual_explicit": 0.3, "obscene": 0.5, "self_harm": 0.3},
        escalations=_ESCALATIONS,
    ),
    "default": Preset(
        blocks=dict.fromkeys(_ABUSE, 0.8),
        holds=dict.fromkeys(_ABUSE, 0.5) | {"self_harm": 0.5},
        escalations=_ESCALATIONS,
    ),
    "lenient": Preset(
        blocks=dict.fromkeys(_ABUSE, 0.95),
        holds=dict.fromkeys(_ABUSE, 0.8) | {"self_harm": 0.6},
        escalations=_ESCALATIONS,
    ),
}
