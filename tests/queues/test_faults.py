"""Brokers in trouble: whatever happens between the queue and the worker, everything is decided once and in order."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from chat_moderator.errors import ChatModeratorError, StaleLeaseError, TransientError
from chat_moderator.moderator.cascade import Cascade
from chat_moderator.moderator.moderator import Moderator
from chat_moderator.moderator.worker import Config, Worker
from chat_moderator.policy.config import PolicyConfig
from chat_moderator.policy.thresholds import ThresholdPolicy
from chat_moderator.protocols import Lease, Queue
from chat_moderator.queues.embedded import EmbeddedQueue
from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.database import Database
from chat_moderator.store.stored_audit import StoredAudit
from chat_moderator.testing.doubles import CountingObserver, WordClassifier
from chat_moderator.testing.factories import make_message
from chat_moderator.types import Message, Record
from tests.servers.brokers import BROKERS, Broker
from tests.servers.process import Line
from tests.soak import MESSAGES, Progress

PATIENCE = 60.0 + MESSAGES / 100
LEASE = 3.0
AWAY, BACK = 10.0, 10.0
"""Seconds that a broker is cut off, and until it has to be in use again."""


class Works:
    """A store, and workers on queues that share a broker."""

    def __init__(self, database: Database, moderator: Moderator) -> None:
        self.database = database
        self.moderator = moderator
        self.observer = CountingObserver()

    def worker(self, queue: Queue, *, batch: int = 512, attempts: int = 5) -> Worker:
        config = Config(batch=batch, parallel=2, attempts=attempts, back_off=0.2)
        return Worker(queue, self.moderator, StoredAudit(self.database), self.observer, config=config)

    @contextlib.asynccontextmanager
    async def working(self, *queues: Queue, batch: int = 512) -> AsyncIterator[None]:
        workers = [self.worker(queue, batch=batch) for queue in queues]
        running = [asyncio.create_task(worker.run()) for worker in workers]
        try:
            yield
        finally:
            for worker in workers:
                worker.stop()
            await asyncio.gather(*running)

    async def records(self) -> list[Record]:
        return await self.database.ask(RecordsAfter(seq=0, limit=10**9))

    async def decided(self, count: int) -> list[Record]:
        """Waits until so many are decided."""
        progress = Progress("decided", count)
        async with asyncio.timeout(PATIENCE):
            while self.observer.count < count:
                progress.show(self.observer.count)
                await asyncio.sleep(0.02)
        progress.show(self.observer.count)
        return await self.records()


@pytest.fixture
async def works(tmp_path: Path) -> AsyncIterator[Works]:
    classifier = WordClassifier()
    database = Database(tmp_path)
    policy = ThresholdPolicy(PolicyConfig(), actions=())
    moderator = Moderator(Cascade([("words", classifier)]), policy)
    yield Works(database, moderator)
    classifier.answer.set()
    await moderator.aclose()
    database.close()


async def put(queue: Queue, messages: Sequence[Message], size: int = 500) -> None:
    for start in range(0, len(messages), size):
        await put_once_more(queue, messages[start : start + size])


async def put_once_more(queue: Queue, messages: Sequence[Message]) -> None:
    """As a producer does: until it is acknowledged."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await queue.put(messages)
            except TransientError:
                await asyncio.sleep(0.1)
            else:
                return


def assert_each_once(records: Sequence[Record], messages: Sequence[Message]) -> None:
    decided = Counter(record.message.id for record in records)
    assert set(decided) == {message.id for message in messages}
    assert set(decided.values()) == {1}


def inversions(records: Sequence[Record], messages: Sequence[Message]) -> int:
    """First decisions that came before that of an earlier message of their channel."""
    place = {message.id: number for number, message in enumerate(messages)}
    latest: dict[str, int] = {}
    found = 0
    for record in records:
        number = place[record.message.id]
        if record.attempts == 1:
            found += number < latest.get(record.message.channel, -1)
            latest[record.message.channel] = max(number, latest.get(record.message.channel, -1))
    return found


def chatter(count: int, channels: int) -> list[Message]:
    chance = random.Random(3)
    return [
        make_message("bad" if n % 50 == 0 else "fine", channel=f"c{chance.randrange(channels)}") for n in range(count)
    ]


async def test_eight_workers_keep_the_order_of_a_thousand_channels(broker: Broker, works: Works) -> None:
    messages = chatter(MESSAGES, 1000)
    settings = broker.settings(broker.server.port)
    async with contextlib.AsyncExitStack() as stack:
        queues = [await stack.enter_async_context(broker.queue(**settings)) for _ in range(8)]
        async with works.working(*queues, batch=128):
            await put(queues[0], messages)
            records = await works.decided(len(messages))
    assert_each_once(records, messages)
    assert inversions(records, messages) == 0


async def test_eight_workers_keep_the_order_on_the_embedded_queue(works: Works) -> None:
    messages = chatter(MESSAGES, 1000)
    queue = EmbeddedQueue(works.database)
    async with works.working(*[queue] * 8, batch=128):
        await put(queue, messages)
        records = await works.decided(len(messages))
    assert_each_once(records, messages)
    assert inversions(records, messages) == 0


async def test_a_broker_that_is_away_for_ten_seconds_is_in_use_again_within_ten(
    works: Works, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All at once, since most of it is waiting; meanwhile each says so now and then, and nothing ends."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    async with contextlib.AsyncExitStack() as stack:
        cut = [await stack.enter_async_context(cut_off(kind, works, tmp_path)) for kind in BROKERS.values()]
        await asyncio.gather(*(each.decides() for each in cut))
        for each in cut:
            await each.line.cut()
        refused = await asyncio.gather(*(each.refuses() for each in cut), asyncio.sleep(AWAY))
        assert refused[:-1] == [True] * len(cut)
        told = [record for record in caplog.records if "cannot be used for now" in record.message]
        assert len(told) <= 10 * len(cut) * 2  # two leases at once
        for each in cut:
            await each.line.open()
        async with asyncio.timeout(BACK):
            await asyncio.gather(*(each.decides() for each in cut))
    assert [record.message for record in caplog.records if record.exc_info] == []


async def test_a_cut_line_loses_and_doubles_nothing(broker: Broker, works: Works) -> None:
    """Twice, in the middle of the work, and once it is slow."""
    messages = chatter(MESSAGES // 2, 50)
    line = Line(broker.server.port)
    await line.open()
    settings = broker.settings(line.port) | {"lease": LEASE}
    try:
        async with broker.behind(line, settings) as queue, works.working(queue, batch=64):
            sending = asyncio.create_task(put(queue, messages, 100))
            for share in (4, 2):
                await works.decided(len(messages) // share // 2)
                await line.cut()
                await asyncio.sleep(broker.cut)
                await line.open()
            line.delay = 0.02
            await sending
            records = await works.decided(len(messages))
    finally:
        await line.cut()
    assert_each_once(records, messages)


async def test_a_restarted_server_goes_on_where_it_was(broker: Broker, works: Works) -> None:
    if not broker.keeps:
        return  # this emulator forgets, which its line being cut stands in for
    messages = chatter(MESSAGES // 2, 50)
    async with broker.queue(lease=LEASE) as queue, works.working(queue, batch=64):
        sending = asyncio.create_task(put(queue, messages, 100))
        await works.decided(len(messages) // 4)
        await asyncio.to_thread(broker.server.restart)
        await sending
        records = await works.decided(len(messages))
    assert_each_once(records, messages)


async def test_a_worker_that_was_frozen_settles_nothing(broker: Broker, works: Works) -> None:
    async with broker.queue(lease=broker.lease) as queue:
        await queue.put([make_message("bad")])
        frozen = await leased(queue)
        async with works.working(queue):
            await works.decided(1)
        with pytest.raises(StaleLeaseError):
            await works.worker(queue).work(frozen)
        assert len(await works.records()) == 1


async def test_copies_of_a_message_are_decided_once(broker: Broker, works: Works) -> None:
    message, last = make_message("bad", channel="a"), make_message("fine", channel="a")
    async with broker.queue() as queue:
        await asyncio.gather(*(queue.put([message]) for _ in range(50)))
        await queue.put([message, message, last])
        async with works.working(queue, batch=7):
            records = await works.decided(2)
    assert_each_once(records, [message, last])


async def test_another_text_under_a_known_key_is_a_dead_letter(broker: Broker, works: Works) -> None:
    first, last = make_message("fine", id="same", channel="a"), make_message("fine", channel="a")
    async with broker.queue() as queue:
        await queue.put([first])
        await queue.put([msgspec.structs.replace(first, text="bad")])
        await queue.put([last])
        async with works.working(queue):
            records = await works.decided(2)
            if broker.tells_depth:
                async with asyncio.timeout(10):
                    while (await queue.depth()).dead != 1:
                        await asyncio.sleep(0.05)
    assert_each_once(records, [first, last])
    assert {record.message.text for record in records} == {"fine"}


async def test_a_poison_message_is_buried_and_its_neighbours_go_on(broker: Broker, works: Works) -> None:
    messages = [make_message("poison" if number == 17 else "fine", channel="a") for number in range(100)]
    good = [message for message in messages if message.text != "poison"]
    async with broker.queue() as queue:
        await queue.put(messages)
        worker = works.worker(queue, attempts=2)
        await worker.work(await leased(queue))  # the neighbours are decided with the first try
        assert_each_once(await works.records(), good)
        again = await leased(queue)
        assert [(message.id, tried) for message, tried in zip(again.messages, again.attempts, strict=True)] == [
            (messages[17].id, 2)
        ]
        await worker.work(again)
        assert await queue.lease(10, wait=timedelta(seconds=1.5)) is None
        if broker.tells_depth:
            assert (await queue.depth()).dead == 1
    assert len(await works.records()) == len(good)


async def test_what_is_not_there_is_one_clear_error(broker: Broker) -> None:
    line = Line(1)
    await line.open()
    await line.cut()
    queue = broker.opened(broker.settings(line.port))
    with pytest.raises(ChatModeratorError) as caught:
        await queue.open()
    assert "Traceback" not in str(caught.value)
    await queue.aclose()


class CutOff:
    """A queue behind a line, and workers that drain it."""

    def __init__(self, queue: Queue, line: Line, works: Works) -> None:
        self.queue = queue
        self.line = line
        self.works = works

    async def decides(self) -> None:
        """Puts a few messages, as often as is needed, and waits until they are decided."""
        before = self.works.observer.count
        await put_once_more(self.queue, [make_message("fine", channel=f"c{n}") for n in range(10)])
        await self.works.decided(before + 10)

    async def refuses(self) -> bool:
        """Whether a put fails in time, as what may be tried again."""
        try:
            async with asyncio.timeout(AWAY):
                await self.queue.put([make_message("fine")])
        except TransientError:
            return True
        return False


@contextlib.asynccontextmanager
async def cut_off(kind: type[Broker], works: Works, directory: Path) -> AsyncIterator[CutOff]:
    own = directory / kind.name
    own.mkdir()
    broker = await asyncio.to_thread(kind, own)
    line = Line(broker.server.port)
    await line.open()
    own_works = Works(works.database, works.moderator)
    try:
        settings = broker.settings(line.port) | {"lease": LEASE}  # what the dead line took comes again after it
        async with broker.behind(line, settings) as queue, own_works.working(queue):
            yield CutOff(queue, line, own_works)
    finally:
        await line.cut()
        broker.stop()


async def leased(queue: Queue) -> Lease:
    lease = await queue.lease(512, wait=timedelta(seconds=15))
    assert lease is not None
    return lease
