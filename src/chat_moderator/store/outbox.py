"""Actions that were decided and have not happened yet: one at a time, each settled with its outcome."""

from typing import Any, ClassVar, Final

from chat_moderator.store.audit import find
from chat_moderator.store.database import Command, Context, Query, encode, key_of
from chat_moderator.types import Message, Outcome, OutcomeState, Record, Struct


class Intention(Struct, frozen=True):
    """An action to perform. `superseded` says that a later revision of the message was accepted meanwhile."""

    id: int
    action: str
    attempts: int
    started: bool
    superseded: bool
    record: Record


class DueIntentions(Query[list[Intention]], frozen=True):
    """What is due now, oldest first, but `busy` ones: of the client `only`, else of all but those `without`."""

    result: ClassVar[Any] = list[Intention]
    limit: int
    busy: tuple[int, ...] = ()
    only: str = ""
    without: tuple[str, ...] = ()

    def answer(self, context: Context) -> list[Intention]:
        bindings = _whose(self.only, self.without) | {
            "at": context.at,
            "limit": self.limit,
            "busy": encode(self.busy),
        }
        rows = list(context.connection.execute(_DUE.format(_WHOSE[bool(self.only)]), bindings))
        found = []
        for identifier, seq, action, attempts, started in rows:
            record = find(context, seq)
            if record is not None:
                superseded = _superseded(context, record.message)
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
    only: str = ""
    without: tuple[str, ...] = ()

    def answer(self, context: Context) -> float | None:
        bindings = _whose(self.only, self.without) | {"busy": encode(self.busy)}
        due = context.value(_NEXT.format(_WHOSE[bool(self.only)]), bindings)
        return float(due) if due is not None else None


class StartIntention(Command[None], frozen=True):
    """Notes that a call is about to be made that must not be made twice."""

    id: int

    def apply(self, context: Context) -> None:
        context.run("UPDATE outbox SET started = 1 WHERE id = ?", (self.id,))


class PostponeIntention(Command[None], frozen=True):
    """Tries again `delay` seconds from now; a try that the platform put off itself is not `counted`."""

    id: int
    delay: float
    counted: bool = True

    def apply(self, context: Context) -> None:
        context.run(
            "UPDATE outbox SET attempts = attempts + ?, started = 0, due = ? WHERE id = ?",
            (int(self.counted), context.at + self.delay, self.id),
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


def _whose(only: str, without: tuple[str, ...]) -> dict[str, str]:
    return {"only": only} if only else {"without": encode(without)}


def _superseded(context: Context, message: Message) -> bool:
    """Whether any later revision was accepted; keys begin with the id, so its revisions lie side by side."""
    start = encode((message.id,))[:-1]
    bindings = {"from": f"{start},", "to": f"{start}-", "key": encode(key_of(message))}
    return context.value(_LATER, bindings) is not None


_WHOSE: Final = {True: "client = :only", False: "client NOT IN (SELECT value FROM json_each(:without))"}
_DUE: Final = """
    SELECT id, seq, action, attempts, started FROM outbox
    WHERE {} AND due <= :at AND id NOT IN (SELECT value FROM json_each(:busy)) ORDER BY due, id LIMIT :limit
"""
_NEXT: Final = "SELECT min(due) FROM outbox WHERE {} AND id NOT IN (SELECT value FROM json_each(:busy))"
_LATER: Final = """
    SELECT 1 FROM seen WHERE key > :from AND key < :to AND key ->> 1 > :key ->> 1
        AND key ->> 2 = :key ->> 2 AND key ->> 3 = :key ->> 3 AND key ->> 4 = :key ->> 4 LIMIT 1
"""
