"""Undoes the right-to-left override: text stored backwards, shown forwards. On the whole text, before anything else."""

import re
from typing import Final

from chat_moderator.text.mapped import Mapped

OVERRIDE: Final = "\u202e"
_STRETCH: Final = re.compile("\u202e([^\u202c\u202d\u202e\n]*)")


def undo_override(mapped: Mapped) -> Mapped:
    """Puts what a right-to-left override shows into the order in which it is read, and drops the override."""
    if OVERRIDE not in mapped.text:
        return mapped
    pieces: list[tuple[str, int, int]] = []
    at = 0
    for match in _STRETCH.finditer(mapped.text):
        pieces += mapped.pieces(at, match.start())
        start, end = match.span(1)
        pieces += reversed(list(mapped.pieces(start, end)))
        at = match.end()
    pieces += mapped.pieces(at, len(mapped.text))
    return Mapped.join(pieces)
