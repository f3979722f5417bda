"""What moderators changed, in PostgreSQL, and the feed of it beside the decisions."""

from typing import Any, Final

from chat_moderator.store.audit import LastSeq, RecordsAfter
from chat_moderator.store.changes import Change, FeedPage, LastChange, ReadFeed, changed
from chat_moderator.store.postgres_audit import find_all, last_seq, records_after
from chat_moderator.store.postgres_context import PostgresContext, storable
from chat_moderator.types import Verdict


async def last_change(context: PostgresContext, _: LastChange) -> int:
    """See `LastChange`."""
    return int(await context.connection.fetchval("SELECT coalesce(max(id), 0) FROM changes"))


async def read_feed(context: PostgresContext, query: ReadFeed) -> FeedPage:
    """See `ReadFeed`."""
    last = await last_seq(context, LastSeq())
    found = RecordsAfter(seq=query.after, limit=query.limit, client=query.client)
    records = await records_after(context, found)
    after = query.place(records, last)
    changes = [] if query.changed is None else await _changes(context, query.changed, query.client, query.limit)
    return query.page(records, changes, after)


async def add_change(context: PostgresContext, seq: int, client: str, verdict: Verdict, rule: str) -> None:
    """Keeps a later verdict on a decision, and wakes whoever follows."""
    # From here to the commit one process does so at a time: whoever reads up to a place has then seen all before it.
    await context.connection.execute(_TURN)
    await context.connection.execute(
        "INSERT INTO changes (seq, at, client, verdict, rule) VALUES ($1, $2, $3, $4, $5)",
        seq,
        context.at,
        storable(client),
        verdict.value,
        rule,
    )
    context.appended = True


async def _changes(context: PostgresContext, after: int, client: str | None, limit: int) -> list[Change]:
    whose, values = ("", []) if client is None else ("AND client = $3", [storable(client)])
    sql = f"SELECT id, seq, at, verdict, rule FROM changes WHERE id > $1 {whose} ORDER BY id LIMIT $2"
    rows: list[Any] = await context.connection.fetch(sql, after, limit, *values)
    records = await find_all(context, [row["seq"] for row in rows]) if rows else {}
    return [
        Change(row["id"], changed(records[row["seq"]], row["at"], row["verdict"], row["rule"]))
        for row in rows
        if row["seq"] in records
    ]


_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('change in ' || current_schema(), 0))"
