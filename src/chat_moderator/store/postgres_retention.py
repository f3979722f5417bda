"""Forgetting in PostgreSQL."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from chat_moderator.store.postgres_audit import RECORD
from chat_moderator.store.postgres_context import LONG, PostgresContext, encoded, storable
from chat_moderator.store.retention import FORGOTTEN, Compact, EraseAuthor, Forget
from chat_moderator.types import Author, Record

PAGE: Final = 1000
"""Records that are rewritten by one statement."""


async def forget(context: PostgresContext, command: Forget) -> int:
    """See `Forget`; what came of a record and what was said about it go with it."""
    before = datetime.fromtimestamp(command.before, UTC)
    gone = await context.connection.execute(_FORGET, before, FORGOTTEN, timeout=LONG)
    return int(gone.rpartition(" ")[2])


async def erase_author(context: PostgresContext, command: EraseAuthor) -> int:
    """See `EraseAuthor`."""
    changed, after = 0, 0
    author, platform = storable(command.author_id), command.platform
    while rows := await context.connection.fetch(_WRITTEN_BY, author, platform, after, PAGE, timeout=LONG):
        after = rows[-1]["seq"]
        changed += len(rows)
        emptied = [encoded(_emptied(RECORD.decode(row["record"]))) for row in rows]
        await context.connection.execute(_REWRITE, [row["seq"] for row in rows], emptied, timeout=LONG)
    return changed


async def compact(context: PostgresContext, _: Compact) -> None:
    """Has the server clear away the rows that were there before; runs outside of a transaction."""
    await context.connection.execute("VACUUM decisions", timeout=LONG)


def _emptied(record: Record) -> Record:
    nobody = Author(record.message.author.id)
    return msgspec.structs.replace(record, message=msgspec.structs.replace(record.message, text="", author=nobody))


# The audit is in order of time, so the search ends at the first record that is young enough.
_FORGET: Final = """
    DELETE FROM decisions WHERE seq IN (
        SELECT d.seq FROM decisions d
        WHERE d.seq < coalesce((SELECT seq FROM decisions WHERE decided_at >= $1 ORDER BY seq LIMIT 1), 9e18::bigint)
        AND NOT EXISTS (SELECT 1 FROM reviews r WHERE r.seq = d.seq AND r.state = 'open')
        AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.seq = d.seq)
        ORDER BY d.seq LIMIT $2
    )
"""
_WRITTEN_BY: Final = """
    SELECT seq, record FROM decisions
    WHERE author = $1 AND author <> '' AND ($2::text IS NULL OR platform = $2) AND seq > $3 ORDER BY seq LIMIT $4
"""
_REWRITE: Final = """
    UPDATE decisions SET record = rewritten.record::json
    FROM unnest($1::bigint[], $2::text[]) AS rewritten (seq, record) WHERE decisions.seq = rewritten.seq
"""
