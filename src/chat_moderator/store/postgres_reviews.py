"""Reviews in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from chat_moderator.errors import NotFoundError
from chat_moderator.store.postgres_audit import find_all
from chat_moderator.store.postgres_changes import add_change
from chat_moderator.store.postgres_context import PostgresContext, storable
from chat_moderator.store.reviews import FOLLOWS, AlreadyResolvedError, ListReviews, ResolveReview, Review, ReviewState


async def list_reviews(context: PostgresContext, query: ListReviews) -> list[Review]:
    """See `ListReviews`."""
    rows = await context.connection.fetch(
        "SELECT seq, state, reviewer, at FROM reviews WHERE state = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        query.state.value,
        query.after,
        query.limit,
    )
    return await _read(context, rows)


async def resolve_review(context: PostgresContext, command: ResolveReview) -> Review:
    """See `ResolveReview`."""
    connection = context.connection
    await connection.execute(
        "INSERT INTO reviews (seq) SELECT seq FROM decisions WHERE seq = $1 AND verdict = 'block' "
        "ON CONFLICT (seq) DO NOTHING",
        command.id,
    )
    found = "SELECT seq, state, reviewer, at FROM reviews WHERE seq = $1 FOR UPDATE"
    known = next(iter(await _read(context, await connection.fetch(found, command.id))), None)
    if known is None:
        raise NotFoundError(f"there is no review {command.id}")
    if known.state is command.state:
        return known
    if known.state is not ReviewState.OPEN:
        raise AlreadyResolvedError(command.id, known.state)
    resolved = await connection.fetch(
        "UPDATE reviews SET state = $2, reviewer = $3, at = $4 WHERE seq = $1 RETURNING seq, state, reviewer, at",
        command.id,
        command.state.value,
        storable(command.reviewer),
        context.at,
    )
    follows = FOLLOWS.get((known.record.decision.verdict, command.state))
    if follows is not None:
        action, verdict = follows
        client = known.record.message.client
        await add_change(context, command.id, client, verdict, f"review: {command.state.value}")
        await connection.execute(
            "INSERT INTO outbox (seq, client, action, due) VALUES ($1, $2, $3, $4)",
            command.id,
            storable(client),
            action,
            context.at,
        )
        context.intended = True
    (review,) = await _read(context, resolved)
    return review


async def _read(context: PostgresContext, rows: Sequence[Any]) -> list[Review]:
    records = await find_all(context, [row["seq"] for row in rows]) if rows else {}
    return [
        Review(
            id=row["seq"],
            state=ReviewState(row["state"]),
            record=records[row["seq"]],
            reviewer=row["reviewer"],
            at=row["at"],
        )
        for row in rows
        if row["seq"] in records
    ]
