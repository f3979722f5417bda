"""Messages that could not be processed, with the reason, until somebody retries or drops them."""

from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import msgspec

from chat_moderator.errors import NotFoundError
from chat_moderator.store.database import Command, Context, Query, encode
from chat_moderator.types import Message, Struct


class DeadLetter(Struct, frozen=True):
    """A buried message."""

    id: int
    at: datetime
    reason: str
    attempts: int
    message: Message


class ListDeadLetters(Query[list[DeadLetter]], frozen=True):
    """Dead letters after an id, oldest first."""

    result: ClassVar[Any] = list[DeadLetter]
    after: int = 0
    limit: int = 100

    def answer(self, context: Context) -> list[DeadLetter]:
        rows = context.connection.execute(
            "SELECT id, at, reason, attempts, message FROM dead_letters WHERE id > ? ORDER BY id LIMIT ?",
            (self.after, self.limit),
        )
        return [
            DeadLetter(
                id=identifier,
                at=datetime.fromtimestamp(at, UTC),
                reason=reason,
                attempts=attempts,
                message=_MESSAGE.decode(message),
            )
            for identifier, at, reason, attempts, message in rows
        ]


class RetryDeadLetters(Command[int], frozen=True):
    """Puts dead letters back into the queue, all when `ids` is empty; returns how many."""

    result: ClassVar[Any] = int
    ids: tuple[int, ...] = ()

    def apply(self, context: Context) -> int:
        bindings = {"ids": encode(self.ids)}
        _require(context, self.ids)
        context.run(
            "INSERT INTO queue (lane, received_at, message) SELECT lane, received_at, message FROM dead_letters "
            f"WHERE {_CHOSEN} ORDER BY id",
            bindings,
        )
        context.run(f"DELETE FROM dead_letters WHERE {_CHOSEN}", bindings)
        count = context.connection.changes()
        context.memory.forget()
        return count


class DropDeadLetters(Command[int], frozen=True):
    """Deletes dead letters, all when `ids` is empty; returns how many."""

    result: ClassVar[Any] = int
    ids: tuple[int, ...] = ()

    def apply(self, context: Context) -> int:
        _require(context, self.ids)
        context.run(f"DELETE FROM dead_letters WHERE {_CHOSEN}", {"ids": encode(self.ids)})
        return context.connection.changes()


def _require(context: Context, ids: tuple[int, ...]) -> None:
    for identifier in ids:
        if context.value("SELECT 1 FROM dead_letters WHERE id = ?", (identifier,)) is None:
            raise NotFoundError(f"there is no dead letter {identifier}")


_MESSAGE: Final = msgspec.json.Decoder(Message)
_CHOSEN: Final = "(:ids = '[]' OR id IN (SELECT value FROM json_each(:ids)))"
