"""What moderators changed: later verdicts on what was decided, in the order in which they were given."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, ClassVar

from msgspec.structs import replace

from chat_moderator.store.audit import LastSeq, RecordsAfter, find
from chat_moderator.store.database import Context, Query
from chat_moderator.types import Record, Struct, Verdict


class Change(Struct, frozen=True):
    """A later verdict: `id` is its place among the changes, `record` the decision as it is from then on."""

    id: int
    record: Record


class LastChange(Query[int], frozen=True):
    """The place of the newest change; 0 where there is none."""

    result: ClassVar[Any] = int

    def answer(self, context: Context) -> int:
        return context.value("SELECT coalesce(max(id), 0) FROM changes") or 0


class FeedPage(Struct, frozen=True):
    """Decisions and changes after a place, and the place after them."""

    records: list[Record]
    changes: list[Record]
    after: int
    changed: int


class ReadFeed(Query[FeedPage], frozen=True):
    """At most `limit` decisions and as many changes of one client, or of all.

    No change comes before the decision that it changes. Without `changed`, changes are left out.
    """

    result: ClassVar[Any] = FeedPage
    after: int
    changed: int | None
    limit: int
    client: str | None = None

    def answer(self, context: Context) -> FeedPage:
        last = LastSeq().answer(context)
        records = RecordsAfter(seq=self.after, limit=self.limit, client=self.client).answer(context)
        after = self.place(records, last)
        changes = [] if self.changed is None else _changes(context, self.changed, self.client, self.limit)
        return self.page(records, changes, after)

    def place(self, records: Sequence[Record], last: int) -> int:
        """Up to where these records have read, where `last` was the newest place before they were looked for."""
        # A page that is not full has passed over all that other clients have up to the last place.
        full = len(records) == self.limit
        return records[-1].seq if full else max(self.after, last, *(record.seq for record in records))

    def page(self, records: list[Record], changes: Sequence[Change], after: int) -> FeedPage:
        """The page: those of the changes, in their order, that need not wait for a decision after `after`."""
        known = list(takewhile(lambda change: change.record.seq <= after, changes))
        changed = known[-1].id if known else self.changed or 0
        return FeedPage(records, [change.record for change in known], after, changed)


def add_change(context: Context, seq: int, client: str, verdict: Verdict, rule: str) -> None:
    """Keeps a later verdict on a decision, and wakes whoever follows."""
    context.run(
        "INSERT INTO changes (seq, at, client, verdict, rule) VALUES (?, ?, ?, ?, ?)",
        (seq, context.at, client, verdict.value, rule),
    )
    context.appended = True


def changed(record: Record, at: datetime, verdict: str, rule: str) -> Record:
    """The record with a later verdict, as of then."""
    decision = replace(record.decision, verdict=Verdict(verdict), rule=rule)
    return replace(record, decision=decision, decided_at=at)


def _changes(context: Context, after: int, client: str | None, limit: int) -> list[Change]:
    whose = "" if client is None else "AND client = ?3"
    sql = f"SELECT id, seq, at, verdict, rule FROM changes WHERE id > ?1 {whose} ORDER BY id LIMIT ?2"
    rows = list(context.connection.execute(sql, (after, limit) if client is None else (after, limit, client)))
    return [
        Change(identifier, changed(record, datetime.fromtimestamp(at, UTC), verdict, rule))
        for identifier, seq, at, verdict, rule in rows
        if (record := find(context, seq)) is not None
    ]
