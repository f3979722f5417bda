"""Actions that were decided and have not happened yet: one at a time, each settled with its outcome."""

from typing import Any, ClassVar

import msgspec

from chat_moderator.store.audit import find
from chat_moderator.store.database import Command, Context, Query, encode, key_of
from chat_moderator.types import Outcome, OutcomeState, Record, Struct


class Intention(Struct, frozen=True):
    """An action to perform. `superseded` says that a later revision of the message was accepted meanwhile."""

    id: int
    action: str
    attempts: int
    started: bool
    superseded: bool
    record: Record


class DueIntentions(Query[list[Intention]], frozen=True):
    """What is due now, oldest first, passing over `busy` ones."""

    result: ClassVar[Any] = list[Intention]
    limit: int
    busy: tuple[int, ...] = ()

    def answer(self, context: Context) -> list[Intention]:
        rows = list(
            context.connection.execute(_DUE, {"at": context.at, "limit": self.limit, "busy": encode(self.busy)})
        )
        found = []
        for identifier, seq, action, attempts, started in rows:
            record = find(context, seq)
            if record is not None:
                later = encode(key_of(msgspec.structs.replace(record.message, revision=record.message.revision + 1)))
                superseded = context.value("SELECT 1 FROM seen WHERE key = ?", (later,)) is not None
                found.append(
                    Intention(
                        id=identifier,
                        action=action,
                        attempts=attempts,
                        started=bool(started),
                        superseded=superseded,
                        record=record,
                    )
                )
        return found


class NextDue(Query[float | None], frozen=True):
    """When the next intention is due, in Unix seconds; None when there is none."""

    result: ClassVar[Any] = float | None
    busy: tuple[int, ...] = ()

    def answer(self, context: Context) -> float | None:
        due = context.value(
            "SELECT min(due) FROM outbox WHERE id NOT IN (SELECT value FROM json_each(?))", (encode(self.busy),)
        )
        return float(due) if due is not None else None


class StartIntention(Command[None], frozen=True):
    """Notes that a call is about to be made that must not be made twice."""

    id: int

    def apply(self, context: Context) -> None:
        context.run("UPDATE outbox SET started = 1 WHERE id = ?", (self.id,))


class PostponeIntention(Command[None], frozen=True):
    """Tries again `delay` seconds from now."""

    id: int
    delay: float

    def apply(self, context: Context) -> None:
        context.run(
            "UPDATE outbox SET attempts = attempts + 1, started = 0, due = ? WHERE id = ?",
            (context.at + self.delay, self.id),
        )


class EndIntention(Command[None], frozen=True):
    """Takes an intention out of the outbox and keeps what came of it."""

    id: int
    outcome: Outcome

    def apply(self, context: Context) -> None:
        seq = context.value("DELETE FROM outbox WHERE id = ? RETURNING seq", (self.id,))
        if seq is not None:
            add_outcome(context, seq, self.outcome)


class OutboxDepth(Query[int], frozen=True):
    """How many actions are still to be done."""

    result: ClassVar[Any] = int

    def answer(self, context: Context) -> int:
        return int(context.value("SELECT count(*) FROM outbox"))


def add_outcome(context: Context, seq: int, outcome: Outcome) -> None:
    """Keeps an outcome beside its record."""
    context.run(
        "INSERT INTO outcomes (seq, at, action, state, detail) VALUES (?, ?, ?, ?, ?)",
        (seq, context.at, outcome.action, OutcomeState(outcome.state).value, outcome.detail),
    )


_DUE = """
    SELECT id, seq, action, attempts, started FROM outbox
    WHERE due <= :at AND id NOT IN (SELECT value FROM json_each(:busy)) ORDER BY due, id LIMIT :limit
"""
