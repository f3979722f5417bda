"""The audit in PostgreSQL: batches arrive by COPY, and a message key has one row whatever is delivered twice."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from chat_moderator.errors import ConflictError
from chat_moderator.store.audit import (
    Append,
    AppendNew,
    AppendOnce,
    FindByKey,
    FindRecord,
    LastSeq,
    RecordsAfter,
    appendable,
)
from chat_moderator.store.bookmarks import Bookmark, KeepBookmark
from chat_moderator.store.database import digest_of
from chat_moderator.store.postgres_context import PostgresContext, encoded, key_text, storable
from chat_moderator.types import Appended, Outcome, Record, Verdict

STAGED: Final = """
    CREATE TEMPORARY TABLE IF NOT EXISTS staged (
        decided_at timestamptz, client text, platform text, channel text, author text, verdict text,
        key text, digest bigint, record json, place integer
    ) ON COMMIT DELETE ROWS
"""
"""Where COPY writes to: a table of the connection, of which INSERT then takes what is new."""

Key = tuple[str, int] | tuple[None, None]
"""The key of a message as text and the digest of its text; nothing where it may be appended again."""


async def append(context: PostgresContext, command: Append) -> list[int]:
    """See `Append`."""
    keys: list[Key] = [(None, None)] * len(command.records)
    return [seq for _, seq in await _append(context, command.records, keys)]


async def append_new(context: PostgresContext, command: AppendNew) -> Appended:
    """See `AppendNew`."""
    keys = [(key_text(record.message), digest_of(record.message.text)) for record in command.records]
    new = {key for key, _ in await _append(context, command.records, keys)}
    before = [key for key, _ in keys if key not in new]
    known = await context.connection.fetch(_DIGESTS, before) if before else []
    return appendable(keys, {row["key"]: row["digest"] for row in known})


async def append_once(context: PostgresContext, command: AppendOnce) -> tuple[Record, bool]:
    """See `AppendOnce`."""
    key = key_text(command.record.message)
    for _, seq in await _append(context, (command.record,), [(key, command.digest)]):
        return msgspec.structs.replace(command.record, seq=seq), True
    known = await context.connection.fetchrow("SELECT seq, digest FROM decisions WHERE key = $1", key)
    record = await find(context, known["seq"]) if known and known["digest"] == command.digest else None
    if record is None:
        raise ConflictError(0, command.record.message.id)
    return record, False


async def records_after(context: PostgresContext, query: RecordsAfter) -> list[Record]:
    """See `RecordsAfter`."""
    where = ["seq > $1"]
    values: list[Any] = [query.seq, query.limit]
    for column, value in (("client", query.client), ("channel", query.channel)):
        if value is not None:
            values.append(storable(value))
            where.append(f"{column} = ${len(values)}")
    if query.flagged:
        where.append("verdict <> 'allow'")
    if query.shown:
        where.append("(verdict = 'allow' OR seq IN (SELECT seq FROM reviews WHERE state = 'approved'))")
    order = "DESC" if query.newest else "ASC"
    chosen = f"SELECT seq, record FROM decisions WHERE {' AND '.join(where)} ORDER BY seq {order} LIMIT $2"
    return decode(await context.connection.fetch(_READ.format(chosen), *values))


async def find_record(context: PostgresContext, query: FindRecord) -> Record | None:
    """See `FindRecord`."""
    return await find(context, query.seq)


async def find_by_key(context: PostgresContext, query: FindByKey) -> Record | None:
    """See `FindByKey`."""
    chosen = "SELECT seq, record FROM decisions WHERE key = $1"
    return next(iter(decode(await context.connection.fetch(_READ.format(chosen), key_text(query.message)))), None)


async def last_seq(context: PostgresContext, _: LastSeq) -> int:
    """See `LastSeq`."""
    return int(await context.connection.fetchval("SELECT coalesce(max(seq), 0) FROM decisions"))


async def bookmark(context: PostgresContext, query: Bookmark) -> str:
    """See `Bookmark`."""
    place = await context.connection.fetchval(
        "SELECT place FROM bookmarks WHERE source = $1 AND name = $2", query.source, query.name
    )
    return place or ""


async def keep_bookmark(context: PostgresContext, command: KeepBookmark) -> None:
    """See `KeepBookmark`."""
    await context.connection.execute(
        "INSERT INTO bookmarks (source, name, place) VALUES ($1, $2, $3) "
        "ON CONFLICT (source, name) DO UPDATE SET place = excluded.place",
        command.source,
        command.name,
        command.place,
    )


async def find(context: PostgresContext, seq: int) -> Record | None:
    """The record at a place in the feed, with its outcomes."""
    return (await find_all(context, (seq,))).get(seq)


async def find_all(context: PostgresContext, seqs: Sequence[int]) -> dict[int, Record]:
    """The records at places in the feed, with their outcomes, by place."""
    chosen = "SELECT seq, record FROM decisions WHERE seq = ANY($1::bigint[])"
    return {record.seq: record for record in decode(await context.connection.fetch(_READ.format(chosen), seqs))}


def decode(rows: Iterable[Any]) -> list[Record]:
    """Records from the rows that `_READ` selects."""
    return [
        msgspec.structs.replace(
            RECORD.decode(row["record"]), seq=row["seq"], outcomes=_OUTCOMES.decode(row["outcomes"] or "[]")
        )
        for row in rows
    ]


async def _append(
    context: PostgresContext, records: Sequence[Record], keys: Sequence[Key]
) -> list[tuple[str | None, int]]:
    """Writes records whose key is new, what they intend and the reviews they open; key and place of each, in order."""
    rows = [
        (*_columns(record), *key, encoded(record), place)
        for place, (record, key) in enumerate(zip(records, keys, strict=True))
    ]
    if not rows:
        return []
    await context.connection.copy_records_to_table("staged", records=rows, schema_name="pg_temp")
    # From here to the commit one process appends at a time: whoever reads up to a place has then seen all before it.
    await context.connection.execute(_TURN)
    written = [(row["key"], row["seq"]) for row in await context.connection.fetch(_INSERT)]
    await _follow(context, _pair(records, keys, written))
    context.appended = context.appended or bool(written)
    return written


def _pair(
    records: Sequence[Record], keys: Sequence[Key], written: Sequence[tuple[str | None, int]]
) -> list[tuple[int, Record]]:
    """Each place with its record: by key where there are keys, else by order."""
    if len(written) == len(records):
        return [(seq, record) for (_, seq), record in zip(written, records, strict=True)]
    first: dict[str | None, Record] = {}
    for (key, _), record in zip(keys, records, strict=True):
        first.setdefault(key, record)
    return [(seq, first[key]) for key, seq in written]


async def _follow(context: PostgresContext, placed: Sequence[tuple[int, Record]]) -> None:
    """Intends the actions of new records, in their order, and opens the reviews of held ones."""
    intended = [
        (seq, storable(record.message.client), action) for seq, record in placed for action in record.decision.actions
    ]
    held = [seq for seq, record in placed if record.decision.verdict is Verdict.HOLD]
    if intended:
        context.intended = True
        await context.connection.execute(_INTEND, *map(list, zip(*intended, strict=True)), context.at)
    if held:
        await context.connection.execute("INSERT INTO reviews (seq) SELECT unnest($1::bigint[])", held)


def _columns(record: Record) -> tuple[Any, ...]:
    message = record.message
    named = (message.client, message.platform, message.channel, message.author.id)
    return record.decided_at, *map(storable, named), record.decision.verdict.value


RECORD: Final = msgspec.json.Decoder(Record)
_OUTCOMES: Final = msgspec.json.Decoder(tuple[Outcome, ...])
_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('append to ' || current_schema(), 0))"
_INSERT: Final = """
    INSERT INTO decisions (decided_at, client, platform, channel, author, verdict, key, digest, record)
    SELECT decided_at, client, platform, channel, author, verdict, key, digest, record FROM staged ORDER BY place
    ON CONFLICT (key) DO NOTHING RETURNING key, seq
"""
_DIGESTS: Final = "SELECT key, digest FROM decisions WHERE key = ANY($1::text[])"
_INTEND: Final = """
    INSERT INTO outbox (seq, client, action, due)
    SELECT seq, client, action, $4 FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY
        AS intended (seq, client, action, place) ORDER BY place
"""
_READ: Final = """
    SELECT seq, record, (
        SELECT json_agg(json_build_object('action', action, 'state', state, 'detail', detail) ORDER BY id)
        FROM outcomes o WHERE o.seq = r.seq
    ) AS outcomes FROM ({}) r ORDER BY seq
"""
