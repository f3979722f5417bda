"""What each key has used, by day."""

from typing import Any, ClassVar

from chat_moderator.store.database import Command, Context, Query
from chat_moderator.types import Struct


class Usage(Struct, frozen=True):
    """What a key used on a day of UTC (`2026-01-31`): requests, texts judged or taken in, requests refused."""

    key: str
    day: str
    requests: int = 0
    texts: int = 0
    refused: int = 0


class AddUsage(Command[None], frozen=True):
    """Adds to what keys have used; a power failure may take back the last second of it."""

    durable: ClassVar[bool] = False
    usage: tuple[Usage, ...]

    def apply(self, context: Context) -> None:
        for each in self.usage:
            context.run(
                "INSERT INTO usage (key, day, requests, texts, refused) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (key, day) DO UPDATE SET requests = requests + excluded.requests, "
                "texts = texts + excluded.texts, refused = refused + excluded.refused",
                (each.key, each.day, each.requests, each.texts, each.refused),
            )


class UsageOf(Query[Usage], frozen=True):
    """What a key used on a day."""

    result: ClassVar[Any] = Usage
    key: str
    day: str

    def answer(self, context: Context) -> Usage:
        rows = context.connection.execute(
            "SELECT key, day, requests, texts, refused FROM usage WHERE key = ? AND day = ?", (self.key, self.day)
        )
        return next((Usage(*row) for row in rows), Usage(self.key, self.day))


class ListUsage(Query[list[Usage]], frozen=True):
    """What all keys used from a day on, the oldest day first."""

    result: ClassVar[Any] = list[Usage]
    since: str

    def answer(self, context: Context) -> list[Usage]:
        rows = context.connection.execute(
            "SELECT key, day, requests, texts, refused FROM usage WHERE day >= ? ORDER BY day, key", (self.since,)
        )
        return [Usage(*row) for row in rows]
