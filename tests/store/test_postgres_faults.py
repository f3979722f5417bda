"""PostgreSQL as the audit while things break: nothing is lost, and nothing is decided twice."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from chat_moderator.app import build_cascade, build_policy
from chat_moderator.config import Settings
from chat_moderator.moderator.moderator import Moderator
from chat_moderator.moderator.worker import Config as WorkerConfig
from chat_moderator.moderator.worker import Worker
from chat_moderator.protocols import Queue
from chat_moderator.queues.embedded import EmbeddedQueue
from chat_moderator.queues.memory import MemoryQueue
from chat_moderator.sinks.metrics import Metrics
from chat_moderator.store.audit import Append, FindRecord, LastSeq, RecordsAfter
from chat_moderator.store.database import Database
from chat_moderator.store.dead_letters import ListDeadLetters
from chat_moderator.store.postgres import Config, PostgresStore
from chat_moderator.store.stored_audit import StoredAudit
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import OutcomeState, Verdict
from tests.servers.brokers import RedisBroker
from tests.servers.discord import discord_server
from tests.servers.postgres import PostgresServer
from tests.servers.process import Line

PATIENCE = 60
KILLED_BEFORE_ACK = """
import asyncio, os, signal, sys
from chat_moderator.app import build_cascade, build_policy
from chat_moderator.config import Settings
from chat_moderator.moderator.moderator import Moderator
from chat_moderator.moderator.worker import Worker
from chat_moderator.queues import redis
from chat_moderator.sinks.metrics import Metrics
from chat_moderator.store.postgres import Config, PostgresStore
from chat_moderator.store.stored_audit import StoredAudit

async def killed():
    os.kill(os.getpid(), signal.SIGKILL)

class Queue(redis.RedisQueue):
    async def lease(self, limit, *, wait):
        lease = await super().lease(limit, wait=wait)
        if lease is not None:
            lease.ack = killed
        return lease

async def main(url, name, database, schema):
    queue = Queue(redis.Config(url=url, name=name, lease=2.0))
    await queue.open()
    settings = Settings()
    moderator = Moderator(build_cascade(settings), build_policy(settings))
    await Worker(queue, moderator, StoredAudit(PostgresStore(Config(database, schema))), Metrics()).run()

asyncio.run(main(*sys.argv[1:]))
"""

ACTS = """
import asyncio, sys
from chat_moderator.actions.alert import AlertAction
from chat_moderator.actions.delete import DeleteAction
from chat_moderator.moderator.lease import ConnectionLease
from chat_moderator.moderator.outbox import OutboxExecutor
from chat_moderator.sources.discord import Config, Discord
from chat_moderator.store.postgres import Config as StoreConfig
from chat_moderator.store.postgres import PostgresStore

class Lease(ConnectionLease):
    async def held(self):
        taken = await super().held()
        print(taken, flush=True)
        return taken

async def main(url, schema, token, api, channel):
    store = PostgresStore(StoreConfig(url, schema))
    discord = Discord(Config(token=token, api=api, moderators_channel=channel))
    actions = {"alert": AlertAction(), "delete": DeleteAction()}
    lease = Lease(store, "discord", seconds=3.0)
    await OutboxExecutor(store, actions, {}, discord, only="discord", lease=lease).run()

asyncio.run(main(*sys.argv[1:]))
"""


def worker(queue: Queue, store: PostgresStore, **config: float) -> Worker:
    settings = Settings()
    moderator = Moderator(build_cascade(settings), build_policy(settings))
    return Worker(queue, moderator, StoredAudit(store), Metrics(), config=WorkerConfig(back_off=0.05, **config))  # type: ignore[arg-type]


async def decided(store: PostgresStore) -> list[str]:
    return [record.message.id for record in await store.ask(RecordsAfter(seq=0, limit=100_000))]


async def drained(queue: Queue, *workers: Worker) -> None:
    """Runs workers until nothing waits."""
    running = [asyncio.create_task(each.run()) for each in workers]
    async with asyncio.timeout(PATIENCE):
        while (depth := await queue.depth()).waiting + depth.leased + depth.delayed:
            await asyncio.sleep(0.05)
    for each in workers:
        each.stop()
    await asyncio.gather(*running)


@pytest.fixture
async def line(postgres: PostgresServer) -> AsyncIterator[Line]:
    opened = Line(postgres.process.port)
    await opened.open()
    yield opened
    await opened.cut()


async def test_a_server_that_restarts_in_the_middle_loses_nothing(postgres: PostgresServer) -> None:
    queue = MemoryQueue()
    async with aclosing(postgres.store()) as store:
        own = worker(queue, store, batch=20)
        working = asyncio.create_task(own.run())
        for number in range(60):
            await queue.put([make_message(id=f"{number}-{i}", channel=f"c{i}") for i in range(20)])
            if number in {20, 40}:
                await asyncio.to_thread(postgres.restart)
        async with asyncio.timeout(PATIENCE):
            while (depth := await queue.depth()).waiting + depth.leased:
                await asyncio.sleep(0.02)
        own.stop()
        await working
        ids = await decided(store)
        assert Counter(ids) == Counter(f"{number}-{i}" for number in range(60) for i in range(20))


async def test_a_batch_waits_for_the_server_and_is_no_dead_letter(postgres: PostgresServer, tmp_path: Path) -> None:
    """The embedded queue beside the store: the ack follows the commit, and an absent server costs no try."""
    database = Database(tmp_path)
    queue = EmbeddedQueue(database, with_audit=False)
    async with aclosing(postgres.store()) as store:
        assert await store.ask(LastSeq()) == 0
        postgres.process.stop(signal.SIGQUIT)
        await queue.put([make_message(id=str(number)) for number in range(50)])
        waiting = asyncio.create_task(worker(queue, store).run())
        async with asyncio.timeout(PATIENCE):
            while not store.problem:
                await asyncio.sleep(0.02)
        assert "cannot be reached" in store.problem
        assert (await queue.depth()).leased == 50
        postgres.process.start()
        async with asyncio.timeout(PATIENCE):
            while (await queue.depth()).leased:
                await asyncio.sleep(0.02)
        waiting.cancel()
        assert store.problem == ""
        assert [record.attempts for record in await store.ask(RecordsAfter(seq=0, limit=100))] == [1] * 50
        assert await database.ask(ListDeadLetters()) == []
    database.close()


async def test_a_cut_line_loses_nothing_and_doubles_nothing(postgres: PostgresServer, line: Line) -> None:
    queue = MemoryQueue()
    settings = postgres.settings()
    far = PostgresStore(Config(postgres.url(port=line.port), settings.schema))
    async with aclosing(far), aclosing(PostgresStore(settings)) as near:
        messages = [make_message(id=str(number), channel=f"c{number % 30}") for number in range(1500)]
        await queue.put(messages)
        draining = asyncio.create_task(drained(queue, worker(queue, far, batch=30)))
        for _ in range(3):
            seen = await near.ask(LastSeq())
            async with asyncio.timeout(PATIENCE):
                while await near.ask(LastSeq()) == seen and not draining.done():
                    await asyncio.sleep(0.005)
            await line.cut()
            await line.open()
        await draining
        assert Counter(await decided(near)) == Counter(message.id for message in messages)


async def test_two_processes_that_append_the_same_write_it_once(postgres: PostgresServer) -> None:
    settings = postgres.settings()
    batches = [[make_record(make_message(id=f"{n}-{i}")) for i in range(100)] for n in range(10)]
    async with aclosing(PostgresStore(settings)) as one, aclosing(PostgresStore(settings)) as other:
        appended = await asyncio.gather(
            *(StoredAudit(store).append_once(batch) for batch in batches for store in (one, other))
        )
        assert sum(len(each.new) for each in appended) == 1000
        assert max(Counter(await decided(one)).values()) == 1


async def test_a_worker_killed_between_commit_and_ack_decides_once(postgres: PostgresServer, tmp_path: Path) -> None:
    broker = RedisBroker(tmp_path)
    try:
        own = broker.settings(broker.server.port)
        settings = postgres.settings()
        async with broker.queue(**own, lease=2.0) as queue, aclosing(PostgresStore(settings)) as store:
            messages = [make_message(id=str(number), channel=f"c{number % 9}") for number in range(40)]
            await queue.put(messages)
            arguments = [own["url"], own["name"], settings.url, settings.schema]
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED_BEFORE_ACK, *arguments)
            async with asyncio.timeout(PATIENCE):
                assert await child.wait() == -signal.SIGKILL
            before = await decided(store)
            assert before
            await drained(queue, worker(queue, store))
            assert Counter(await decided(store)) == Counter(message.id for message in messages)
            assert (await queue.depth()).dead == 0
    finally:
        broker.stop()


async def said(process: Process, word: bytes) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while await process.stdout.readline() != word + b"\n":
            pass


async def test_who_was_frozen_past_its_lease_settles_nothing_on_a_platform(postgres: PostgresServer) -> None:
    """Its calls under way are taken by the platform meanwhile; another process acts on, and it changes nothing."""
    settings = postgres.settings()
    processes: list[Process] = []
    async with discord_server() as discord, aclosing(PostgresStore(settings)) as store:

        async def acts() -> Process:
            place = (settings.url, settings.schema, discord.token, discord.url, discord.channels["moderators"])
            processes.append(await asyncio.create_subprocess_exec(sys.executable, "-c", ACTS, *place, stdout=PIPE))
            return processes[-1]

        async def block() -> tuple[int, str]:
            message = make_message(id=await discord.say("bad"), channel=discord.channels["general"], client="discord")
            record = make_record(message, Verdict.BLOCK, actions=("delete", "alert"))
            (seq,) = await store.execute(Append(records=(record,)))
            return seq, message.id

        async def outcomes(seq: int) -> dict[str, OutcomeState]:
            async with asyncio.timeout(PATIENCE):
                while True:
                    record = await store.ask(FindRecord(seq=seq))
                    if record is not None and len(record.outcomes) >= 2:
                        assert len(record.outcomes) == 2
                        return {each.action: each.state for each in record.outcomes}
                    await asyncio.sleep(0.05)

        try:
            discord.hold_calls.clear()
            first, deleted = await block()
            frozen = await acts()
            async with asyncio.timeout(PATIENCE):
                while discord.held < 2:
                    await asyncio.sleep(0.05)
            frozen.send_signal(signal.SIGSTOP)
            discord.hold_calls.set()
            other = await acts()
            await said(other, b"True")
            expected = {"delete": OutcomeState.DONE, "alert": OutcomeState.UNCERTAIN}
            assert await outcomes(first) == expected
            second, _ = await block()
            done = dict.fromkeys(("delete", "alert"), OutcomeState.DONE)
            assert await outcomes(second) == done
            frozen.send_signal(signal.SIGCONT)
            await said(frozen, b"False")
            third, _ = await block()
            assert await outcomes(third) == done
            assert await outcomes(first) == expected
            asked = Counter(discord.deletions)
            assert asked.pop(deleted) == 2  # before it was frozen, and by the other
            assert set(asked.values()) == {1}
            assert len(discord.alerts()) == 3
        finally:
            for process in processes:
                process.kill()
                await process.wait()
