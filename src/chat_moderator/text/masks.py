"""What stands in for links, e-mail addresses and user names, so that no name and no address is learnt or remembered."""

import re
from collections.abc import Iterator
from typing import Final

from chat_moderator.text.readings import Known

LINK: Final = "\x11link"
USER: Final = "\x11user"
NUMBER: Final = "\x11number"

EDGES: Final = ".,;:?\"'()[]{}<>~-_/\\…“”‘’«»、。，！？*#=^`"  # noqa: RUF001 -- full-width punctuation is meant
"""Punctuation that belongs to no word at its edge."""

_SCHEME: Final = re.compile(r"(?:[a-z][a-z0-9+.-]{1,12}://|www\.)\S*", re.IGNORECASE)
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_DOMAIN: Final = re.compile(
    r"[\w-]+(?:\.[\w-]+)*\."
    r"(?:com|net|org|gg|tv|io|ru|xyz|me|link|shop|info|example|test|co|de|uk|gift|app|dev)(?:[/?:]\S*)?",
    re.IGNORECASE,
)
_HOST_WORD: Final = re.compile(r"[^\W\d_]{3,}")


def mask(token: str, known: Known) -> str:
    """LINK, USER or nothing. A word that begins with a sign for "a" is no user name if it is known."""
    core = token.strip(EDGES)
    if "." in core and (_SCHEME.fullmatch(token) or _EMAIL.fullmatch(core) or _DOMAIN.fullmatch(core)):
        return LINK
    if _SCHEME.fullmatch(token):
        return LINK
    if token[0] == "@" and (name := core[1:].lower()):
        return "" if known("a" + name.replace("$", "s")) else USER
    return ""


def host_words(token: str) -> Iterator[tuple[str, int, int]]:
    """The words of a link's host with their places in the token: a message can hide in them."""
    begin = token.find("://") + 3 if "://" in token else 0
    end = min((place for place in (token.find(sign, begin) for sign in "/?#") if place >= 0), default=len(token))
    for match in _HOST_WORD.finditer(token, begin, end):
        yield match[0].lower(), match.start(), match.end()
