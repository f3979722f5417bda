"""Every registered queue keeps the contract."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from chat_moderator import registry
from chat_moderator.protocols import Queue
from chat_moderator.queues import embedded, memory
from chat_moderator.queues.embedded import EmbeddedQueue
from chat_moderator.queues.memory import MemoryQueue
from chat_moderator.store.database import Database
from chat_moderator.testing.clock import FakeClock
from chat_moderator.testing.queues import CAPACITY, CHECKS, LEASE_SECONDS, Check

Running = tuple[Queue, Callable[[], Awaitable[None]]]


async def open_memory(clock: FakeClock, _: Path) -> Running:
    queue = MemoryQueue(memory.Config(capacity=CAPACITY, lease=LEASE_SECONDS), clock=clock)
    return queue, queue.aclose


async def open_embedded(clock: FakeClock, directory: Path) -> Running:
    database = Database(directory, clock=clock)

    async def close() -> None:
        database.close()

    return EmbeddedQueue(database, embedded.Config(capacity=CAPACITY, lease=LEASE_SECONDS)), close


CASES = {"embedded": open_embedded, "memory": open_memory}


def test_every_registered_queue_has_a_case() -> None:
    assert sorted(CASES) == registry.names("queue")


@pytest.fixture(params=sorted(CASES))
async def queue(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Queue]:
    opened, close = await CASES[request.param](clock, tmp_path)
    yield opened
    await close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_queue(check: Check, queue: Queue, clock: FakeClock) -> None:
    await check(queue, clock.advance)
