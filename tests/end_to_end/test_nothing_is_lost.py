"""The promise: a 2xx means fsynced, everything is decided once, whatever dies in between."""

import asyncio
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.database import Database
from chat_moderator.store.dead_letters import ListDeadLetters
from chat_moderator.store.intake import AskDepth
from chat_moderator.store.retention import CheckIntegrity
from chat_moderator.types import Record
from tests.running import Running, free_port
from tests.soak import ROUNDS

CYCLES = 20


class Producer:
    """Sends batches until told to stop, and keeps a journal of what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.order: dict[str, list[str]] = {}
        self._number = 0

    async def send_until(self, url: str, stopped: asyncio.Event) -> None:
        async with httpx.AsyncClient(timeout=10) as client:
            while not stopped.is_set():
                batch = []
                for _ in range(50):
                    self._number += 1
                    text = "you are a stupid idiot" if self._number % 10 == 0 else f"nice play number {self._number}"
                    batch.append({"id": str(self._number), "text": text, "channel": f"c{self._number % 20}"})
                try:
                    answer = await client.post(f"{url}/v1/messages", json={"messages": batch})
                except httpx.HTTPError:
                    return
                if answer.status_code == 202:
                    self.acknowledged += [message["id"] for message in batch]


async def all_records(database: Database) -> list[Record]:
    records: list[Record] = []
    while batch := await database.ask(RecordsAfter(seq=records[-1].seq if records else 0, limit=5000)):
        records += batch
    return records


def start_worker(directory: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "chat_moderator", "work", "--data-dir", str(directory)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def test_twenty_times_kill_9_under_load(tmp_path: Path) -> None:
    """The server and a second worker die at random moments; nothing acknowledged is lost, nothing is decided twice."""
    chance, producer, port = random.Random(7), Producer(), free_port()
    for cycle in range(CYCLES):
        running = Running(tmp_path, port)
        worker = start_worker(tmp_path) if cycle % 2 else None
        await asyncio.to_thread(running.wait_until_ready)
        stopped = asyncio.Event()
        sending = asyncio.create_task(producer.send_until(running.url, stopped))
        already = len(producer.acknowledged)
        enough = already + chance.randrange(100, 1500)
        while len(producer.acknowledged) < enough and not sending.done():
            await asyncio.sleep(0)
        if worker is not None:
            worker.kill()
            worker.wait()
        running.kill()
        stopped.set()
        await sending
    running = Running(tmp_path, port)
    await asyncio.to_thread(running.wait_until_ready)
    await wait_until_settled(running)
    assert await asyncio.to_thread(running.stop) == 0

    database = Database(tmp_path)
    records = await all_records(database)
    letters = await database.ask(ListDeadLetters(limit=1000))
    assert await database.ask(CheckIntegrity()) == "ok"
    assert (await database.ask(AskDepth())).waiting == 0
    database.close()
    decided = Counter(record.message.id for record in records)
    found = set(decided) | {letter.message.id for letter in letters}
    assert len(producer.acknowledged) >= CYCLES * 100
    assert set(producer.acknowledged) - found == set(), "acknowledged messages were lost"
    assert [identifier for identifier, times in decided.items() if times > 1] == [], "messages were decided twice"
    for channel in {record.message.channel for record in records}:
        first = [int(each.message.id) for each in records if each.message.channel == channel and each.attempts == 1]
        assert first == sorted(first), f"decisions in {channel} are out of order"


async def wait_until_settled(running: Running) -> None:
    async with httpx.AsyncClient() as client:
        while True:
            text = (await client.get(f"{running.url}/metrics")).text
            depth = [re.search(rf"^chat_moderator_queue_{kind} ([\d.e+]+)$", text, re.MULTILINE) for kind in KINDS]
            if all(match is not None and float(match[1]) == 0 for match in depth):
                return


KINDS = ("waiting", "leased", "delayed")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    started = Running(tmp_path, free_port())
    started.wait_until_ready()
    yield started
    if started.process.poll() is None:
        started.kill()


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_sigterm_under_load_drains_and_exits_with_0(running: Running, tmp_path: Path, number: int) -> None:
    producer, stopped = Producer(), asyncio.Event()
    sending = asyncio.create_task(producer.send_until(running.url, stopped))
    while len(producer.acknowledged) < 500 * (number % 5 + 1):
        await asyncio.sleep(0)
    running.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(running.process.wait, 10) == 0
    stopped.set()
    await sending
    database = Database(tmp_path)
    records = await all_records(database)
    waiting = (await database.ask(AskDepth())).waiting
    database.close()
    decided = Counter(record.message.id for record in records)
    assert max(decided.values()) == 1
    assert len(set(producer.acknowledged) - set(decided)) <= waiting
