"""Sinks read the audit in order, at least once, each at its own pace."""

import asyncio
from collections.abc import Sequence

from chat_moderator.errors import TransientError
from chat_moderator.moderator.feed import SinkFeed
from chat_moderator.store.audit import Append
from chat_moderator.store.database import Database
from chat_moderator.testing.factories import make_record
from chat_moderator.types import Record


class ListSink:
    """Keeps the places of what it got; `failures` are raised first."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.failures: list[Exception] = []
        self.closed = False

    async def write(self, records: Sequence[Record]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.seqs += [record.seq for record in records]

    async def erase(self, author_id: str, *, platform: str | None = None) -> None:
        """Nothing is kept."""

    async def aclose(self) -> None:
        self.closed = True


async def append(database: Database, count: int) -> None:
    await database.execute(Append(records=tuple(make_record() for _ in range(count))))


async def feed_until(database: Database, sink: ListSink, count: int) -> None:
    feed = SinkFeed(database, "list:0", sink)
    running = asyncio.create_task(feed.run())
    while len(sink.seqs) < count:
        await asyncio.sleep(0)
        feed.wake()
    feed.stop()
    await running


async def test_a_sink_gets_everything_in_order_and_is_closed(database: Database) -> None:
    await append(database, 1200)
    sink = ListSink()
    await feed_until(database, sink, 1200)
    assert sink.seqs == list(range(1, 1201))
    assert sink.closed


async def test_a_sink_goes_on_where_it_was_after_a_restart(database: Database) -> None:
    await append(database, 3)
    await feed_until(database, ListSink(), 3)
    await append(database, 2)
    later = ListSink()
    await feed_until(database, later, 2)
    assert later.seqs == [4, 5]


async def test_a_sick_sink_gets_the_same_records_again(database: Database) -> None:
    await append(database, 2)
    sink = ListSink()
    sink.failures = [TransientError("503"), RuntimeError("a bug")]
    await feed_until(database, sink, 2)
    assert sink.seqs == [1, 2]
