"""The worker: everything that was put is decided once; what cannot be judged is found, delayed and buried."""

import asyncio
from datetime import timedelta

import pytest

from chat_moderator.errors import StaleLeaseError
from chat_moderator.moderator.moderator import Moderator
from chat_moderator.moderator.worker import Config, Worker
from chat_moderator.queues.embedded import EmbeddedQueue
from chat_moderator.queues.memory import MemoryQueue
from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.database import Database
from chat_moderator.store.dead_letters import ListDeadLetters
from chat_moderator.store.intake import AskDepth
from chat_moderator.store.stored_audit import StoredAudit
from chat_moderator.testing.clock import FakeClock
from chat_moderator.testing.doubles import CountingObserver, WordClassifier
from chat_moderator.testing.factories import make_message
from chat_moderator.types import Record, Verdict

Fixtures = tuple[Worker, EmbeddedQueue]


@pytest.fixture
def observer() -> CountingObserver:
    return CountingObserver()


@pytest.fixture
def queue(database: Database) -> EmbeddedQueue:
    return EmbeddedQueue(database)


@pytest.fixture
def worker(
    queue: EmbeddedQueue, moderator: Moderator, database: Database, observer: CountingObserver, clock: FakeClock
) -> Worker:
    return Worker(queue, moderator, StoredAudit(database), observer, config=Config(back_off=1.0), clock=clock)


async def records(database: Database) -> list[Record]:
    return await database.ask(RecordsAfter(seq=0, limit=10_000))


async def work_once(worker: Worker, queue: EmbeddedQueue) -> None:
    lease = await queue.lease(512, wait=timedelta())
    assert lease is not None
    await worker.work(lease)


async def test_everything_is_decided_once_in_order(
    worker: Worker, queue: EmbeddedQueue, database: Database, observer: CountingObserver
) -> None:
    messages = [make_message("bad" if number % 10 == 0 else "fine", channel=f"c{number % 9}") for number in range(1500)]
    await queue.put(messages)
    running = asyncio.create_task(worker.run())
    while observer.count < len(messages):
        await asyncio.sleep(0)
    worker.stop()
    await running
    done = await records(database)
    assert sorted(record.message.id for record in done) == sorted(message.id for message in messages)
    for channel in {message.channel for message in messages}:
        decided = [record.message.id for record in done if record.message.channel == channel]
        assert decided == [message.id for message in messages if message.channel == channel]
    assert sum(record.decision.verdict is Verdict.BLOCK for record in done) == 150


async def test_a_poison_message_is_buried_after_five_tries_and_its_neighbours_go_on(
    worker: Worker, queue: EmbeddedQueue, database: Database, clock: FakeClock
) -> None:
    messages = [make_message("poison" if number == 17 else "fine", channel="a") for number in range(40)]
    await queue.put(messages)
    await work_once(worker, queue)
    assert len(await records(database)) == 39
    for attempt in range(2, 6):
        assert (await database.ask(AskDepth())).delayed == 1
        clock.advance(60)
        lease = await queue.lease(512, wait=timedelta())
        assert lease is not None
        assert list(lease.attempts) == [attempt]
        await worker.work(lease)
    (letter,) = await database.ask(ListDeadLetters())
    assert letter.message == messages[17]
    assert letter.reason == "RuntimeError: this text cannot be scored"
    assert letter.attempts == 5
    clock.advance(3600)
    assert await queue.lease(512, wait=timedelta()) is None


async def test_what_takes_its_worker_down_is_buried_in_the_end(
    worker: Worker, queue: EmbeddedQueue, database: Database, clock: FakeClock
) -> None:
    await queue.put([make_message("fine")])
    for _ in range(5):
        assert await queue.lease(512, wait=timedelta()) is not None  # and its holder dies
        clock.advance(31)
    await work_once(worker, queue)
    (letter,) = await database.ask(ListDeadLetters())
    assert "without an answer" in letter.reason


async def test_a_worker_frozen_past_its_lease_settles_nothing(
    worker: Worker, queue: EmbeddedQueue, database: Database, clock: FakeClock
) -> None:
    await queue.put([make_message("bad")])
    frozen = await queue.lease(512, wait=timedelta())
    clock.advance(31)
    await work_once(worker, queue)
    assert frozen is not None
    with pytest.raises(StaleLeaseError):
        await worker.work(frozen)
    assert len(await records(database)) == 1


async def test_a_delayed_message_says_so_in_the_audit(
    worker: Worker, queue: EmbeddedQueue, database: Database, clock: FakeClock, classifier: WordClassifier
) -> None:
    await queue.put([make_message("fine")])
    await queue.lease(512, wait=timedelta())
    clock.advance(31)
    await work_once(worker, queue)
    (record,) = await records(database)
    assert record.attempts == 2


async def test_a_queue_that_cannot_join_the_transaction_is_acked_after_the_audit(
    moderator: Moderator, database: Database, observer: CountingObserver, clock: FakeClock
) -> None:
    queue = MemoryQueue(clock=clock)
    worker = Worker(queue, moderator, StoredAudit(database), observer, clock=clock)
    await queue.put([make_message("bad"), make_message("poison"), make_message("fine")])
    lease = await queue.lease(10, wait=timedelta())
    assert lease is not None
    await worker.work(lease)
    assert [record.decision.verdict for record in await records(database)] == [Verdict.BLOCK, Verdict.ALLOW]
    assert (await queue.depth()).delayed == 1
