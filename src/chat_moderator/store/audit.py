"""The audit: appending decisions, reading them back in order, what came of them, forgetting."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec

from chat_moderator.errors import ConflictError
from chat_moderator.store.database import Command, Context, Query, digest_of, encode, key_of
from chat_moderator.types import Appended, Message, Outcome, Record, Verdict


def rows_of(records: Sequence[Record]) -> list[Any]:
    """Records as the values that `append` writes."""
    values: list[Any] = []
    for record in records:
        at, client = record.decided_at.timestamp(), record.message.client
        values += (at, client, record.decision.verdict.value, encode(record))
    return values


def append(context: Context, records: Sequence[Record], rows: list[Any]) -> list[int]:
    """Writes records, the actions they intend and the reviews they open; returns their places in the feed."""
    if not records:
        return []
    context.insert("INSERT INTO decisions (decided_at, client, verdict, record)", 4, rows)
    last = context.connection.last_insert_rowid()
    first = last - len(records) + 1
    if any(record.decision.actions for record in records):
        context.run(_INTEND, {"first": first, "at": context.at})
        context.intended = True
    if any(record.decision.verdict is Verdict.HOLD for record in records):
        context.run("INSERT INTO reviews (seq) SELECT seq FROM decisions WHERE seq >= ? AND verdict = 'hold'", (first,))
    context.appended = True
    return list(range(first, last + 1))


class Append(Command[list[int]], frozen=True):
    """Writes records that were judged without the queue; returns their places in the feed."""

    result: ClassVar[Any] = list[int]
    records: tuple[Record, ...]

    def prepare(self, at: float) -> list[Any]:  # noqa: ARG002 -- records have their time
        """See `rows_of`."""
        return rows_of(self.records)

    def apply(self, context: Context) -> list[int]:
        return append(context, self.records, context.prepared)


class AppendOnce(Command[tuple[Record, bool]], frozen=True):
    """Writes one record unless its message key has one already; returns the one that counts, and whether it is new.

    Raises:
        ConflictError: the key was used for another text.
    """

    result: ClassVar[Any] = tuple[Record, bool]
    record: Record
    digest: int

    def apply(self, context: Context) -> tuple[Record, bool]:
        key = encode(key_of(self.record.message))
        known = next(iter(context.connection.execute("SELECT digest, decision FROM seen WHERE key = ?", (key,))), None)
        if known is not None:
            digest, seq = known
            record = find(context, seq) if seq is not None else None
            if digest != self.digest or record is None:
                raise ConflictError(0, self.record.message.id)
            return record, False
        (seq,) = append(context, (self.record,), rows_of((self.record,)))
        context.run(
            "INSERT INTO seen (key, digest, at, seq, decision) VALUES (?, ?, ?, 0, ?)",
            (key, self.digest, context.at, seq),
        )
        return msgspec.structs.replace(self.record, seq=seq), True


class AppendNew(Command[Appended], frozen=True):
    """Writes records whose message keys have none yet: what a queue delivers twice is decided once."""

    result: ClassVar[Any] = Appended
    records: tuple[Record, ...]

    def prepare(self, at: float) -> list[tuple[str, int]]:  # noqa: ARG002 -- records have their time
        """Key and digest of each."""
        return [(encode(key_of(record.message)), digest_of(record.message.text)) for record in self.records]

    def apply(self, context: Context) -> Appended:
        keys: list[tuple[str, int]] = context.prepared
        known = dict(context.connection.execute(_DECIDED, (encode([key for key, _ in keys]),)))
        appended = appendable(keys, known)
        records = [self.records[index] for index in appended.new]
        places = append(context, records, rows_of(records))
        values: list[Any] = []
        for index, seq in zip(appended.new, places, strict=True):
            values += (*keys[index], context.at, 0, seq)
        context.insert("INSERT OR REPLACE INTO seen (key, digest, at, seq, decision)", 5, values)
        return appended


class RecordsAfter(Query[list[Record]], frozen=True):
    """Records after `seq`, oldest first, at most `limit`, filtered where a filter is given."""

    result: ClassVar[Any] = list[Record]
    seq: int
    limit: int
    client: str | None = None
    channel: str | None = None
    flagged: bool = False
    shown: bool = False  # allowed, or held and approved
    newest: bool = False  # the last `limit` instead of the first

    def answer(self, context: Context) -> list[Record]:
        where, bindings = ["seq > :seq"], {"seq": self.seq, "limit": self.limit}
        for name, sql in _FILTERS.items():
            if (value := getattr(self, name)) is not None:
                where.append(sql)
                bindings[name] = value
        if self.flagged:
            where.append("verdict <> 'allow'")
        if self.shown:
            where.append("(verdict = 'allow' OR seq IN (SELECT seq FROM reviews WHERE state = 'approved'))")
        order = "DESC" if self.newest else "ASC"
        inner = f"SELECT seq, record FROM decisions WHERE {' AND '.join(where)} ORDER BY seq {order} LIMIT :limit"
        return decode(context.value(_READ.format(inner), bindings))


class FindRecord(Query[Record | None], frozen=True):
    """The record at a place in the feed; None where there is none."""

    result: ClassVar[Any] = Record | None
    seq: int

    def answer(self, context: Context) -> Record | None:
        return find(context, self.seq)


class FindByKey(Query[Record | None], frozen=True):
    """The record that answered for a message's key, where a caller may ask again; None where there is none."""

    result: ClassVar[Any] = Record | None
    message: Message

    def answer(self, context: Context) -> Record | None:
        seq = context.value("SELECT decision FROM seen WHERE key = ?", (encode(key_of(self.message)),))
        return find(context, seq) if seq is not None else None


class LastSeq(Query[int], frozen=True):
    """The newest place in the feed; 0 when it is empty."""

    result: ClassVar[Any] = int

    def answer(self, context: Context) -> int:
        return context.value("SELECT coalesce(max(seq), 0) FROM decisions") or 0


class Cursor(Query[int], frozen=True):
    """How far a sink has read the feed; 0 before its first time."""

    result: ClassVar[Any] = int
    name: str

    def answer(self, context: Context) -> int:
        return context.value("SELECT seq FROM cursors WHERE name = ?", (self.name,)) or 0


class MoveCursor(Command[None], frozen=True):
    """Notes how far a sink has read the feed."""

    name: str
    seq: int

    def apply(self, context: Context) -> None:
        context.run("INSERT OR REPLACE INTO cursors (name, seq) VALUES (?, ?)", (self.name, self.seq))


def appendable(keys: Sequence[tuple[str, int]], known: dict[str, int]) -> Appended:
    """Which of these keys and digests are new, where `known` were decided before."""
    new, conflicts = [], []
    for index, (key, digest) in enumerate(keys):
        if key not in known:
            known[key] = digest
            new.append(index)
        elif known[key] != digest:
            conflicts.append(index)
    return Appended(tuple(new), tuple(conflicts))


def find(context: Context, seq: int) -> Record | None:
    """The record at a place in the feed, with its outcomes."""
    records = decode(context.value(_READ.format("SELECT seq, record FROM decisions WHERE seq = :seq"), {"seq": seq}))
    return records[0] if records else None


def decode(rows: str | None) -> list[Record]:
    """Records from the JSON that `_READ` selects."""
    return [
        msgspec.structs.replace(record, seq=seq, outcomes=tuple(outcomes or ()))
        for seq, record, outcomes in _RECORDS.decode(rows or "[]")
    ]


_RECORDS: Final = msgspec.json.Decoder(list[tuple[int, Record, list[Outcome] | None]])
_FILTERS: Final = {
    "client": "client = :client",
    "channel": "coalesce(record ->> '$.message.channel', '') = :channel",
}
_DECIDED = """
    SELECT s.key, s.digest FROM json_each(?) j CROSS JOIN seen s ON s.key = j.value WHERE s.decision IS NOT NULL
"""
_INTEND = """
    INSERT INTO outbox (seq, client, action, due)
    SELECT d.seq, d.client, a.value, :at FROM decisions d, json_each(d.record -> '$.decision.actions') a
    WHERE d.seq >= :first ORDER BY d.seq, a.key
"""
_READ = """
    SELECT json_group_array(json_array(seq, json(record), (
        SELECT json_group_array(json_object('action', action, 'state', state, 'detail', detail))
        FROM outcomes o WHERE o.seq = r.seq
    ) -> '$')) FROM (SELECT * FROM ({}) ORDER BY seq) r
"""
