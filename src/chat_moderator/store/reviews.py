"""What is held for a human: the open reviews and their resolution."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from chat_moderator.errors import ConflictError, NotFoundError
from chat_moderator.store.audit import find
from chat_moderator.store.changes import add_change
from chat_moderator.store.database import Command, Context, Query
from chat_moderator.types import Record, Struct, Verdict


class ReviewState(StrEnum):
    """What became of a held message."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"


class Review(Struct, omit_defaults=True, frozen=True):
    """A held message and what a moderator said of it; `id` is its record's `seq`."""

    id: int
    state: ReviewState
    record: Record
    reviewer: str = ""
    at: datetime | None = None


class ListReviews(Query[list[Review]], frozen=True):
    """Reviews in one state after an id, oldest first."""

    result: ClassVar[Any] = list[Review]
    state: ReviewState = ReviewState.OPEN
    after: int = 0
    limit: int = 100

    def answer(self, context: Context) -> list[Review]:
        rows = list(
            context.connection.execute(
                "SELECT seq FROM reviews WHERE state = ? AND seq > ? ORDER BY seq LIMIT ?",
                (self.state.value, self.after, self.limit),
            )
        )
        return [review for (seq,) in rows if (review := _read(context, seq)) is not None]


class ResolveReview(Command[Review], frozen=True):
    """Approves or denies a held message and intends what follows: `release` or `delete`.

    A blocked message may be approved too, which intends `undo`, or denied, which only says that blocking it was right.
    Saying the same again changes nothing.

    Raises:
        NotFoundError: there is no such review, and no blocked message of that number.
        ConflictError: it was resolved the other way.
    """

    result: ClassVar[Any] = Review
    id: int
    state: ReviewState
    reviewer: str

    def apply(self, context: Context) -> Review:
        context.run(_OPEN_BLOCKED, (self.id,))
        review = _read(context, self.id)
        if review is None:
            raise NotFoundError(f"there is no review {self.id}")
        if review.state is self.state:
            return review
        if review.state is not ReviewState.OPEN:
            raise AlreadyResolvedError(self.id, review.state)
        context.run(
            "UPDATE reviews SET state = ?, reviewer = ?, at = ? WHERE seq = ?",
            (self.state.value, self.reviewer, context.at, self.id),
        )
        follows = FOLLOWS.get((review.record.decision.verdict, self.state))
        if follows is not None:
            action, verdict = follows
            client = review.record.message.client
            add_change(context, self.id, client, verdict, f"review: {self.state.value}")
            context.run(
                "INSERT INTO outbox (seq, client, action, due) VALUES (?, ?, ?, ?)",
                (self.id, client, action, context.at),
            )
            context.intended = True
        resolved = _read(context, self.id)
        assert resolved is not None  # noqa: S101 -- it was read above, in the same transaction
        return resolved


class AlreadyResolvedError(ConflictError):
    """A review was resolved the other way before."""

    def __init__(self, review: int, state: ReviewState) -> None:
        super().__init__(0, str(review))
        self.args = (f"review {review} is {state.value} already",)


def _read(context: Context, seq: int) -> Review | None:
    row = next(iter(context.connection.execute("SELECT state, reviewer, at FROM reviews WHERE seq = ?", (seq,))), None)
    record = find(context, seq) if row else None
    if row is None or record is None:
        return None
    state, reviewer, at = row
    when = datetime.fromtimestamp(at, UTC) if at is not None else None
    return Review(id=seq, state=ReviewState(state), record=record, reviewer=reviewer, at=when)


FOLLOWS: Final = {
    (Verdict.HOLD, ReviewState.APPROVED): ("release", Verdict.ALLOW),
    (Verdict.HOLD, ReviewState.DENIED): ("delete", Verdict.BLOCK),
    (Verdict.BLOCK, ReviewState.APPROVED): ("undo", Verdict.ALLOW),
}
_OPEN_BLOCKED: Final = (
    "INSERT OR IGNORE INTO reviews (seq) SELECT seq FROM decisions WHERE seq = ? AND verdict = 'block'"
)
