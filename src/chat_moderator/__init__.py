"""Chat moderation: reads every message, scores it for toxicity, acts, and keeps the audit."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chat_moderator.types import (
    LABELS,
    Assessment,
    Author,
    Decision,
    Message,
    Outcome,
    Record,
    Span,
    Verdict,
)

if TYPE_CHECKING:
    from chat_moderator.moderator.moderator import Moderator

__all__ = [
    "LABELS",
    "Assessment",
    "Author",
    "Decision",
    "Message",
    "Moderator",
    "Outcome",
    "Record",
    "Span",
    "Verdict",
]

_LAZY = {"Moderator": "chat_moderator.moderator.moderator"}


def __getattr__(name: str) -> Any:
    """Imports what is heavy on first use."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
