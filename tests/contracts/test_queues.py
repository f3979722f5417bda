"""Every registered queue keeps the contract."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from chat_moderator import registry
from chat_moderator.queues import embedded, memory
from chat_moderator.queues.embedded import EmbeddedQueue
from chat_moderator.queues.memory import MemoryQueue
from chat_moderator.store.database import Database
from chat_moderator.testing.clock import FakeClock
from chat_moderator.testing.queues import CAPACITY, CHECKS, KNOWING, Check, Trial
from tests.servers.brokers import BROKERS, Broker

LEASE_SECONDS = 30.0
EMBEDDED = ("embedded", "memory")
CASES = (*EMBEDDED, *BROKERS)


def test_every_registered_queue_has_a_case() -> None:
    assert sorted(CASES) == registry.names("queue")


@pytest.fixture(params=EMBEDDED)
async def trial(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Trial]:
    async def pass_time(seconds: float) -> None:
        clock.advance(seconds)

    if request.param == "memory":
        queue = MemoryQueue(memory.Config(capacity=CAPACITY, lease=LEASE_SECONDS), clock=clock)
        yield Trial(queue, LEASE_SECONDS, pass_time)
        return
    database = Database(tmp_path, clock=clock)
    own = EmbeddedQueue(database, embedded.Config(capacity=CAPACITY, lease=LEASE_SECONDS))
    yield Trial(own, LEASE_SECONDS, pass_time)
    database.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_queue(check: Check, trial: Trial) -> None:
    await check(trial)


async def test_broker(broker: Broker) -> None:
    """All checks at once, each on a queue of its own: their leases take real time."""
    checks = [check for check in CHECKS if check not in KNOWING]
    results = await asyncio.gather(*(_run(check, broker) for check in checks), return_exceptions=True)
    failures = []
    for check, result in zip(checks, results, strict=True):
        if isinstance(result, Exception):
            result.add_note(check.__name__)
            failures.append(result)
    if failures:
        raise ExceptionGroup(broker.name, failures)


async def _run(check: Check, broker: Broker) -> None:
    async with asyncio.timeout(60), broker.queue(capacity=CAPACITY, lease=broker.lease) as queue:
        await check(
            Trial(
                queue,
                broker.lease,
                asyncio.sleep,
                delay=broker.delay,
                glance=timedelta(seconds=broker.glance),
                counts=broker.counts,
                tells_depth=broker.tells_depth,
                load=broker.load,
            )
        )
