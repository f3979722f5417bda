"""Where the sentences of a text are."""

import re
from typing import Final

LONGEST_LIST: Final = 100
"""Sentences that are told apart; the last one takes the rest of the text."""

_END: Final = re.compile(
    r"[.!?\u2026\u203c\u2047-\u2049]+[\"'\u201d\u2019\u00bb)\]]*(?=\s)"  # a mark, what closes a quotation, and a space
    r"|[\u3002\uff01\uff1f\uff61]+[\u300d\u300f\u201d\u2019\uff09]*"  # Chinese and Japanese leave no space
    r"|[\u0964\u0965\u061f\u06d4]+"  # Hindi, Arabic
    r"|\n+"
)


def sentences(text: str) -> list[tuple[int, int]]:
    """Start and end (exclusive, code points) of each sentence, without the white space around it, in order.

    A sentence ends with its mark, or with its line. A text without letters or digits is one sentence.
    """
    found: list[tuple[int, int]] = []
    start = 0
    for match in _END.finditer(text):
        if len(found) == LONGEST_LIST - 1:
            break
        if any(character.isalnum() for character in text[start : match.end()]):
            found.append(_trimmed(text, start, match.end()))
            start = match.end()
    if text[start:].strip():
        rest = _trimmed(text, start, len(text))
        if found and not any(character.isalnum() for character in text[start:]):
            found[-1] = (found[-1][0], rest[1])
        else:
            found.append(rest)
    return found


def utf16_length(text: str) -> int:
    """How many UTF-16 code units a text takes: what JavaScript and Java count."""
    return len(text) + sum(character > "\uffff" for character in text)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - (len(part) - len(part.rstrip()))
