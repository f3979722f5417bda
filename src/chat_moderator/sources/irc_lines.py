"""IRC's text: what people read in a line, what fits into one, and ids where the server gives none. Pure."""

import hashlib
import re
from datetime import UTC, datetime
from typing import Final

LINE: Final = 512
"""Bytes of a line with its end, where the server names no other limit."""

_FORMATS: Final = re.compile(
    r"\x03(?:[0-9]{1,2}(?:,[0-9]{1,2})?)?|\x04(?:[0-9a-fA-F]{6}(?:,[0-9a-fA-F]{6})?)?|[\x02\x0f\x11\x16\x1d-\x1f]"
)
_BREAKS: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_DIRECTIONS: Final = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def written(text: str) -> str:
    """What people read in a message: without colours, and of an action (`/me`) what follows the name.

    Empty for other requests between clients, which nobody reads.
    """
    if text.startswith("\x01"):
        kind, _, text = text.strip("\x01").partition(" ")
        if kind.upper() != "ACTION":
            return ""
    return unbroken(_FORMATS.sub("", text)).strip()


def unbroken(text: str) -> str:
    """Fit to stand in a line: without breaks and other controls, which would begin a command of their own."""
    return _BREAKS.sub(" ", text)


def undirected(text: str) -> str:
    """Without the marks that turn the direction of what follows, which could make a line read otherwise."""
    return _DIRECTIONS.sub("", text)


def cut(text: str, size: int) -> str:
    """The beginning of a text, at most `size` bytes in UTF-8, never half a character; marked where it is cut."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= size:
        return text
    return encoded[: max(0, size - len(_CUT.encode()))].decode(errors="ignore").rstrip() + _CUT


_CUT: Final = " …"


def pieces(text: str, size: int, most: int) -> list[str]:
    """A text in at most `most` parts of at most `size` bytes, broken between words where it can be; the last is cut."""
    parts: list[str] = []
    rest = " ".join(unbroken(text).split())
    while rest and len(parts) < most - 1 and len(rest.encode(errors="replace")) > size:
        part = rest.encode(errors="replace")[:size].decode(errors="ignore")
        head, space, _ = part.rpartition(" ")
        part = head if space and not rest[len(part) :].startswith(" ") else part
        parts.append(part)
        rest = rest[len(part) :].lstrip()
    return [*parts, cut(rest, size)] if rest else parts


def moment(tag: str | None) -> datetime | None:
    """The time of a `time` tag; None where there is none, or it is none."""
    try:
        found = datetime.fromisoformat(tag or "")
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


MADE: Final = "~"
"""How an id begins that is ours, not the server's."""


def made_id(channel: str, source: str, at: datetime, text: str, number: int) -> str:
    """An id for a message without one: the same for the same message, `number` apart for equal ones of one moment."""
    named = "\0".join((channel, source, str(round(at.timestamp() * 1000)), text, str(number)))
    return MADE + hashlib.sha256(named.encode(errors="replace")).hexdigest()[:24]


def mask_of(userhost: str) -> str:
    """The mask that stands for an author, whatever the nick: `*!*user@host`."""
    user, _, host = userhost.rpartition("@")
    return f"*!*{user.lstrip('~').replace('*', '?')}@{host}"
