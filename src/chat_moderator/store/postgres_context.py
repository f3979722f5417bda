"""What the statements for PostgreSQL see: a connection inside a transaction, and the time."""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from chat_moderator.store.database import encode, key_of
from chat_moderator.types import Message

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

    AnyConnection = Connection[Record] | PoolConnectionProxy[Record]

LONG: Final = 600.0
"""Seconds for a statement that reads or rewrites much."""


class PostgresContext:
    """One transaction.

    Attributes:
        connection: of asyncpg.
        at: the time, in UTC.
        appended: set by what appends decisions or changes them, so that whoever listens is told with the commit.
        intended: set by what intends actions.
    """

    def __init__(self, connection: "AnyConnection", at: datetime) -> None:
        self.connection = connection
        self.at = at
        self.appended = False
        self.intended = False

    async def announce(self) -> None:
        """Tells every process that listens, once this is committed."""
        if self.appended or self.intended:
            await self.connection.execute(_NOTIFY, INTENDED if self.intended else "")


def storable(text: str) -> str:
    """Text without NUL, which PostgreSQL cannot keep."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def encoded(value: Any) -> str:
    """JSON that PostgreSQL keeps and can read again: a NUL in a string becomes U+FFFD."""
    text = encode(value)
    return _NUL.sub(r"\1\\ufffd", text) if r"\u0000" in text else text


def key_text(message: Message) -> str:
    """A message's key as it is stored."""
    return encoded(key_of(message))


INTENDED: Final = "intended"
_NOTIFY: Final = "SELECT pg_notify(current_schema(), $1)"
_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
