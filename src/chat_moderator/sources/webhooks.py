"""What the webhooks of several platforms have in common: signatures over raw bytes, and a window of time."""

import hashlib
import hmac
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from chat_moderator.errors import PermanentError, RefusedError

WINDOW: Final = 300
"""Seconds that a call may be old, or ahead of our clock."""

LONGEST_TIMESTAMP: Final = 12
"""Digits, far beyond any clock."""

T = TypeVar("T")


def check_sha256(key: str, content: bytes, given: str, *, prefix: str = "") -> None:
    """Compares a hexadecimal HMAC-SHA256 in constant time.

    Raises:
        RefusedError: it is not `prefix` and the signature of the content.
    """
    expected = prefix + hmac.digest(key.encode(), content, hashlib.sha256).hex()
    if not same(expected, given):
        raise RefusedError("the signature does not fit the body")


def same(expected: str, given: str) -> bool:
    """Whether two texts of a header are the same, in constant time."""
    return hmac.compare_digest(expected.encode(), given.encode(errors="surrogatepass"))


def check_time(timestamp: str, at: datetime) -> None:
    """Refuses calls that were not made just now.

    Args:
        timestamp: Unix seconds, as the platform signed them.
        at: when the call came.

    Raises:
        RefusedError: it is no time, or more than five minutes off.
    """
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= LONGEST_TIMESTAMP):
        raise RefusedError("the timestamp is missing or not Unix seconds")
    if abs(at.timestamp() - int(timestamp)) > WINDOW:
        raise RefusedError(f"the timestamp is more than {WINDOW} seconds off")


def read(decoder: "msgspec.json.Decoder[T]", raw: bytes) -> T:
    """The value of a body whose signature was checked.

    Raises:
        PermanentError: the body is not what the platform's documentation says.
    """
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise PermanentError(f"the body is not as expected, {problem}") from problem
