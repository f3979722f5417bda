"""Commands of the queue: put, lease, renew, retry, bury, and commit with the decisions.

The queue is a log. Each lane has a cursor behind which all its messages are settled, so that settling moves a few
cursors instead of deleting every message, and what lies behind the slowest cursor is cut off in one sweep.
"""

import zlib
from datetime import timedelta
from functools import lru_cache
from typing import Any, ClassVar, Final

import msgspec

from chat_moderator.errors import ConflictError, OverloadedError, StaleLeaseError
from chat_moderator.store.audit import append, rows_of
from chat_moderator.store.database import Command, Context, Query, digest_of, encode, key_of
from chat_moderator.store.migrations import LANES
from chat_moderator.types import Depth, Message, Record, Struct

LEAST: Final = 4
"""Lanes that a lease takes at least where they are free; beyond that it leaves half of them for other workers."""

SWEEP: Final = 2048
"""Settled messages that may lie in the log before it is cut."""


@lru_cache(maxsize=65_536)
def lane_of(client: str, platform: str, channel: str) -> int:
    """The lane of a channel, 0 to 63; the same in every process."""
    return zlib.crc32(f"{client}\0{platform}\0{channel}".encode()) % LANES


class Put(Command[int], frozen=True):
    """Makes messages durable; those whose key is known are passed over. Returns how many were new.

    Raises:
        OverloadedError: more than `limit` messages would wait.
        ConflictError: a key is known with another text.
    """

    result: ClassVar[Any] = int
    messages: tuple[Message, ...]
    limit: int
    delivery: str = ""  # the id of a webhook delivery, which is taken once

    def prepare(self, at: float) -> list[Any]:
        """The values of the rows."""
        values: list[Any] = []
        for message in self.messages:
            lane = lane_of(message.client, message.platform, message.channel)
            values += (at, lane, encode(key_of(message)), digest_of(message.text), encode(message))
        return values

    def apply(self, context: Context) -> int:
        waiting = _waiting(context)
        if waiting + len(self.messages) > self.limit:
            raise OverloadedError(f"{waiting} messages wait already", retry_after=timedelta(seconds=1))
        if self.delivery:
            context.run("INSERT OR IGNORE INTO replays (id, at) VALUES (?, ?)", (self.delivery, context.at))
            if not context.connection.changes():
                return 0
        context.insert("INSERT INTO queue (received_at, lane, key, digest, message)", 5, context.prepared)
        first = context.connection.last_insert_rowid() - len(self.messages) + 1
        context.run(_REMEMBER, {"first": first, "at": context.at})
        new = context.connection.changes()
        if new < len(self.messages):
            conflict = context.value(_CONFLICT, {"first": first})
            if conflict is not None:
                raise ConflictError(conflict, self.messages[conflict].id)
            context.run(_DROP_KNOWN, {"first": first})
        else:
            context.memory.keep(first, self.messages)
        context.memory.counts["waiting"] = waiting + new
        return new


class LeasedMessage(Struct, array_like=True, frozen=True):
    """A message under a lease; `received_at` in Unix seconds."""

    seq: int
    lane: int
    attempts: int
    received_at: float
    message: Message


class Leased(Struct, frozen=True):
    """What a lease holds; an epoch is never given twice."""

    epoch: int
    lanes: tuple[int, ...]
    rows: list[LeasedMessage]


class LeaseMessages(Command[Leased], frozen=True):
    """Leases half of the free lanes, those with the oldest messages, up to `limit` messages, for `seconds`."""

    result: ClassVar[Any] = Leased
    durable: ClassVar[bool] = False
    limit: int
    seconds: float

    def apply(self, context: Context) -> Leased:
        _wake_delayed(context)
        # Never given twice, even when a power failure took the latest leases back.
        latest = context.value("SELECT max(epoch) FROM lanes")
        epoch = max(latest + 1, int(1e6 * context.at))
        bindings: dict[str, Any] = {"at": context.at, "limit": self.limit, "scan": 2 * self.limit, "least": LEAST}
        rows: list[LeasedMessage] = []
        if _waiting(context):
            rows = _read(context, _PLACES.decode(context.value(_LEASABLE, bindings)))
        lanes = tuple(dict.fromkeys(row.lane for row in rows))
        if rows:
            until = context.at + self.seconds
            context.run(_TAKE, {"lanes": encode(lanes), "epoch": epoch, "until": until, "last": rows[-1].seq})
        return Leased(epoch=epoch, lanes=lanes, rows=rows)


class Settlement(Command[None], frozen=True):
    """Base of what a lease's holder does to its messages; refused when the lease is not its lanes' latest."""

    epoch: int
    lanes: tuple[int, ...]

    def check(self, context: Context) -> None:
        """Raises StaleLeaseError unless every lane is still under this lease."""
        held = context.value("SELECT count(*) FROM lanes WHERE epoch = ? AND leased_until > 0", (self.epoch,))
        if held != len(self.lanes):
            raise StaleLeaseError("the lease ran out and was taken over")


class RenewLease(Settlement, frozen=True):
    """Starts the lease's time anew."""

    durable: ClassVar[bool] = False
    seconds: float

    def apply(self, context: Context) -> None:
        self.check(context)
        context.run("UPDATE lanes SET leased_until = ? WHERE epoch = ?", (context.at + self.seconds, self.epoch))


class Buried(Struct, frozen=True):
    """A message that goes to the dead letters."""

    seq: int
    reason: str


class Settle(Settlement, frozen=True):
    """Ends a lease of `count` messages in one transaction.

    Appends the decisions with the actions they intend, puts aside what is to be tried again `delay` seconds from now,
    moves to the dead letters what is given up, and moves the lanes' cursors past all of it.
    """

    count: int
    records: tuple[Record, ...] = ()
    again: tuple[int, ...] = ()
    delay: float = 0.0
    buried: tuple[Buried, ...] = ()

    def prepare(self, at: float) -> list[Any]:  # noqa: ARG002 -- records have their time
        """See `rows_of`."""
        return rows_of(self.records)

    def apply(self, context: Context) -> None:
        self.check(context)
        append(context, self.records, context.prepared)
        if self.again:
            context.run(_DELAY, {"seqs": encode(self.again), "due": context.at + self.delay})
            context.memory.counts.pop("due", None)
        if self.buried:
            context.run(
                _BURY, {"buried": encode([(letter.seq, letter.reason) for letter in self.buried]), "at": context.at}
            )
        waiting = _waiting(context)
        context.run(_FREE, {"epoch": self.epoch})
        context.memory.counts["waiting"] = waiting - self.count
        _sweep(context, self.count)


class AskDepth(Query[Depth], frozen=True):
    """How full the queue is."""

    result: ClassVar[Any] = Depth

    def answer(self, context: Context) -> Depth:
        leased, oldest, delayed, dead = next(context.connection.execute(_DEPTH, {"at": context.at}))
        unsettled = context.memory.counts.get("waiting")
        if unsettled is None:
            unsettled = context.value(f"SELECT count(*) {_UNSETTLED}")
        age = max(0.0, context.at - oldest) if oldest is not None else 0.0
        return Depth(
            waiting=max(0, unsettled - leased), leased=leased, delayed=delayed, dead=dead, oldest=timedelta(seconds=age)
        )


def _read(context: Context, places: list[tuple[int, int, int, float]]) -> list[LeasedMessage]:
    """The messages at these places, from memory where they were put a moment ago."""
    remembered = context.memory.messages
    missing = [place[0] for place in places if place[0] not in remembered]
    if missing:
        remembered.update(_MESSAGES.decode(context.value(_READ, (encode(missing),))))
    return [LeasedMessage(*place, remembered.pop(place[0])) for place in places]


def _waiting(context: Context) -> int:
    """Messages not yet settled, counted once a process and kept up to date by the one writer."""
    if "waiting" not in context.memory.counts:
        context.memory.counts["waiting"] = context.value(f"SELECT count(*) {_UNSETTLED}")
    return context.memory.counts["waiting"]


def _wake_delayed(context: Context) -> None:
    if "due" not in context.memory.counts:
        context.memory.counts["due"] = int(context.value("SELECT min(due) FROM delayed") or 2**40)
    if context.at >= context.memory.counts["due"]:
        context.run(_REQUEUE, {"at": context.at})
        context.run("DELETE FROM delayed WHERE due <= ?", (context.at,))
        context.memory.forget()


def _sweep(context: Context, settled: int) -> None:
    context.memory.counts["settled"] = context.memory.counts.get("settled", 0) + settled
    if context.memory.counts["settled"] >= SWEEP:
        context.memory.counts["settled"] = 0
        context.run(_CATCH_UP)
        context.run(f"DELETE FROM queue WHERE seq < coalesce((SELECT min(q.seq) {_UNSETTLED}), 9e18)")


_PLACES: Final = msgspec.json.Decoder(list[tuple[int, int, int, float]])
_MESSAGES: Final = msgspec.json.Decoder(list[tuple[int, Message]])

_UNSETTLED: Final = """
    FROM queue q CROSS JOIN lanes l ON l.lane = q.lane
    WHERE q.seq > (SELECT min(cursor) FROM lanes) AND q.seq > l.cursor
"""
_REMEMBER: Final = (
    "INSERT OR IGNORE INTO seen (key, digest, at, seq) SELECT key, digest, :at, seq FROM queue WHERE seq >= :first"
)
_CONFLICT: Final = """
    SELECT min(q.seq) - :first FROM queue q JOIN seen s ON s.key = q.key WHERE q.seq >= :first AND s.digest <> q.digest
"""
_DROP_KNOWN: Final = """
    DELETE FROM queue WHERE seq >= :first AND seq NOT IN (
        SELECT q.seq FROM queue q JOIN seen s ON s.key = q.key WHERE q.seq >= :first AND s.seq = q.seq
    )
"""
_REQUEUE: Final = """
    INSERT INTO queue (lane, attempts, received_at, message)
    SELECT lane, attempts, received_at, message FROM delayed WHERE due <= :at ORDER BY id
"""
# CROSS JOIN pins the order of the loops: the log by its number, the lane of each message beside it.
_LEASABLE: Final = """
    WITH head AS MATERIALIZED (
        SELECT q.seq, q.lane FROM queue q CROSS JOIN lanes l ON l.lane = q.lane
        WHERE q.seq > (SELECT min(cursor) FROM lanes WHERE leased_until <= :at)
          AND q.seq > l.cursor AND l.leased_until <= :at
        ORDER BY q.seq LIMIT :scan
    ),
    chosen AS MATERIALIZED (SELECT lane FROM head GROUP BY lane ORDER BY min(seq) LIMIT (
        SELECT max(:least, count(*) / 2) FROM lanes WHERE leased_until <= :at
    ))
    SELECT json_group_array(json_array(seq, lane, attempts, received_at)) FROM (
        SELECT q.seq, q.lane, q.received_at,
               q.attempts + iif(l.leased_until > 0 AND q.seq <= l.leased_through, l.lost + 1, 0) AS attempts
        FROM head CROSS JOIN queue q ON q.seq = head.seq JOIN lanes l ON l.lane = q.lane
        WHERE head.lane IN (SELECT lane FROM chosen) ORDER BY head.seq LIMIT :limit
    )
"""
_READ: Final = """
    SELECT json_group_array(json_array(q.seq, json(q.message)))
    FROM json_each(?) j CROSS JOIN queue q ON q.seq = j.value
"""
_TAKE: Final = """
    UPDATE lanes SET epoch = :epoch, lost = iif(leased_until > 0, lost + 1, 0), leased_until = :until,
        leased_through = :last
    WHERE lane IN (SELECT value FROM json_each(:lanes))
"""
# An idle lane's cursor follows the oldest messages that wait, so that no scan starts far behind.
_CATCH_UP: Final = f"""
    WITH head AS MATERIALIZED (SELECT q.seq, q.lane {_UNSETTLED} ORDER BY q.seq LIMIT {SWEEP})
    UPDATE lanes SET cursor = max(cursor, coalesce((SELECT max(seq) FROM head), (SELECT max(seq) FROM queue), 0))
    WHERE leased_until = 0 AND lane NOT IN (SELECT lane FROM head)
"""
_FREE: Final = "UPDATE lanes SET cursor = leased_through, leased_until = 0, lost = 0 WHERE epoch = :epoch"
_DELAY: Final = """
    INSERT INTO delayed (due, lane, attempts, received_at, message)
    SELECT :due, q.lane, q.attempts + l.lost + 1, q.received_at, q.message
    FROM json_each(:seqs) j CROSS JOIN queue q ON q.seq = j.value JOIN lanes l ON l.lane = q.lane ORDER BY q.seq
"""
_BURY: Final = """
    INSERT INTO dead_letters (at, reason, attempts, lane, received_at, message)
    SELECT :at, j.value ->> 1, q.attempts + l.lost, q.lane, q.received_at, q.message
    FROM json_each(:buried) j CROSS JOIN queue q ON q.seq = j.value ->> 0 JOIN lanes l ON l.lane = q.lane ORDER BY q.seq
"""
# Only the stretch of the log that is leased is counted; a backlog of a million costs no more than an empty one.
_DEPTH: Final = f"""
    SELECT (
        SELECT count(*) FROM queue q CROSS JOIN lanes l ON l.lane = q.lane
        WHERE q.seq > (SELECT min(cursor) FROM lanes WHERE leased_until > :at)
          AND q.seq <= (SELECT max(leased_through) FROM lanes WHERE leased_until > :at)
          AND l.leased_until > :at AND q.seq > l.cursor AND q.seq <= l.leased_through
    ), (SELECT q.received_at {_UNSETTLED} ORDER BY q.seq LIMIT 1),
    (SELECT count(*) FROM delayed), (SELECT count(*) FROM dead_letters)
"""
