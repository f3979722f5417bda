"""Undoes HTML character references and percent encoding. First in the chain: what they hide is text like any other."""

import html
import re
from typing import Final

from chat_moderator.text.mapped import Mapped

_ENCODED: Final = re.compile(
    r"&(?:amp;)*(#\d{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z][A-Za-z0-9]{1,30};)|(?:%[0-9a-fA-F]{2})+"
)


def decode_entities(mapped: Mapped) -> Mapped:
    """Replaces `&#102;`, `&uuml;` and `%66` by what they stand for; what stands for nothing stays as it is."""
    if "&" not in mapped.text and "%" not in mapped.text:
        return mapped
    pieces: list[tuple[str, int, int]] = []
    at = 0
    for match in _ENCODED.finditer(mapped.text):
        pieces += mapped.pieces(at, match.start())
        pieces.append((_meaning(match), *mapped.span(*match.span())))
        at = match.end()
    pieces += mapped.pieces(at, len(mapped.text))
    return Mapped.join(pieces)


def _meaning(match: re.Match[str]) -> str:
    if match[1] is not None:
        reference = f"&{match[1]}"
        return html.unescape(reference if reference.endswith(";") else reference + ";") or match[0]
    try:
        return bytes.fromhex(match[0].replace("%", "")).decode()
    except UnicodeDecodeError:
        return match[0]
