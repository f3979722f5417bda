"""The outbox in PostgreSQL, and the leases by which one process at a time acts for a connection."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from chat_moderator.errors import StaleLeaseError
from chat_moderator.store.outbox import (
    DueIntentions,
    EndIntention,
    Intention,
    NextDue,
    OutboxDepth,
    PostponeIntention,
    StartIntention,
)
from chat_moderator.store.postgres_audit import find_all
from chat_moderator.store.postgres_context import PostgresContext, encoded, key_text, storable
from chat_moderator.types import Message, OutcomeState

ABSENT: Final = timedelta(days=1)
"""A connection that no process held for so long is gone: its actions are then anybody's, who can but say so."""


async def due_intentions(context: PostgresContext, query: DueIntentions) -> list[Intention]:
    """See `DueIntentions`; clients whose connection another process has are passed over."""
    whose, values = _whose(query.only, query.without, 4)
    rows = await context.connection.fetch(
        "SELECT id, seq, action, attempts, started FROM outbox "
        f"WHERE due <= $1 AND id <> ALL($2::bigint[]) AND {whose} ORDER BY due, id LIMIT $3",
        context.at,
        query.busy,
        query.limit,
        *values,
    )
    records = await find_all(context, [row["seq"] for row in rows]) if rows else {}
    superseded = await _superseded(context, {seq: record.message for seq, record in records.items()})
    return [
        Intention(
            id=row["id"],
            action=row["action"],
            attempts=row["attempts"],
            started=row["started"],
            superseded=row["seq"] in superseded,
            record=records[row["seq"]],
        )
        for row in rows
        if row["seq"] in records
    ]


async def next_due(context: PostgresContext, query: NextDue) -> float | None:
    """See `NextDue`."""
    whose, values = _whose(query.only, query.without, 2)
    due: datetime | None = await context.connection.fetchval(
        f"SELECT min(due) FROM outbox WHERE id <> ALL($1::bigint[]) AND {whose}", query.busy, *values
    )
    return due.timestamp() if due is not None else None


async def start_intention(context: PostgresContext, command: StartIntention) -> None:
    """See `StartIntention`; of two processes one may go on.

    Raises:
        StaleLeaseError: another process has begun it, or ended it.
    """
    started = "UPDATE outbox SET started = true WHERE id = $1 AND NOT started RETURNING id"
    if await context.connection.fetchval(started, command.id) is None:
        raise StaleLeaseError("another process performs this action")


async def postpone_intention(context: PostgresContext, command: PostponeIntention) -> None:
    """See `PostponeIntention`."""
    await context.connection.execute(
        "UPDATE outbox SET attempts = attempts + $2, started = false, due = $3 WHERE id = $1",
        command.id,
        int(command.counted),
        context.at + timedelta(seconds=command.delay),
    )


async def end_intention(context: PostgresContext, command: EndIntention) -> None:
    """See `EndIntention`."""
    outcome = command.outcome
    await context.connection.execute(
        "WITH gone AS (DELETE FROM outbox WHERE id = $1 RETURNING seq) "
        "INSERT INTO outcomes (seq, at, action, state, detail) SELECT seq, $2, $3, $4, $5 FROM gone",
        command.id,
        context.at,
        outcome.action,
        OutcomeState(outcome.state).value,
        storable(outcome.detail),
    )


async def outbox_depth(context: PostgresContext, _: OutboxDepth) -> int:
    """See `OutboxDepth`."""
    return int(await context.connection.fetchval("SELECT count(*) FROM outbox"))


async def take_lease(context: PostgresContext, name: str, holder: str, seconds: float) -> bool:
    """Takes or renews a lease, by the server's clock; False while another holder has it."""
    taken = await context.connection.fetchval(_TAKE, name, holder, timedelta(seconds=seconds))
    return taken is not None


async def free_lease(context: PostgresContext, name: str, holder: str) -> None:
    """Gives a lease up; that somebody had it stays known."""
    await context.connection.execute(
        "UPDATE leases SET until = clock_timestamp() WHERE name = $1 AND holder = $2 AND until > clock_timestamp()",
        name,
        holder,
    )


def _whose(only: str, without: Sequence[str], number: int) -> tuple[str, list[Any]]:
    """The condition on `client`, and what it binds from `number` on."""
    if only:
        return f"client = ${number}", [only]
    held = f"SELECT name FROM leases WHERE until > clock_timestamp() - ${number + 1}::interval"
    return f"client <> ALL(${number}::text[]) AND client NOT IN ({held})", [without, ABSENT]


async def _superseded(context: PostgresContext, messages: dict[int, Message]) -> set[int]:
    """Which of these have a later revision; keys begin with the id, so its revisions lie side by side."""
    asked = []
    for seq, message in messages.items():
        start = encoded((message.id,))[:-1]
        asked.append((seq, f"{start},", f"{start}-", key_text(message)))
    rows = await context.connection.fetch(_LATER, *map(list, zip(*asked, strict=True))) if asked else []
    return {row["seq"] for row in rows}


_TAKE: Final = """
    INSERT INTO leases (name, holder, until) VALUES ($1, $2, clock_timestamp() + $3)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE leases.holder = excluded.holder OR leases.until <= clock_timestamp()
    RETURNING name
"""
_LATER: Final = """
    SELECT a.seq FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS a (seq, low, high, key)
    WHERE EXISTS (
        SELECT 1 FROM decisions d WHERE d.key > a.low COLLATE "C" AND d.key < a.high COLLATE "C"
        AND (d.key::json ->> 1)::bigint > (a.key::json ->> 1)::bigint AND d.key::json ->> 2 = a.key::json ->> 2
        AND d.key::json ->> 3 = a.key::json ->> 3 AND d.key::json ->> 4 = a.key::json ->> 4
    )
"""
