"""Several machines: a broker between them, PostgreSQL for what they share, and nothing else in common."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.running import Running, free_port
from tests.servers.brokers import NatsBroker
from tests.servers.postgres import PostgresServer
from tests.servers.receiver import Receiver, receiving

SETTINGS = """
[queue]
type = "nats"
url = "{queue}"
lease = 2.0
[store]
type = "postgres"
url = "${{DATABASE_URL}}"
schema = "{schema}"
[worker]
parallel = {parallel}
[[policy.rules]]
name = "shouts"
when = "text.original == 'HEY'"
verdict = "hold"
actions = ["alert"]
[actions.alert]
url = "{alerts}"
secret = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="
"""
MESSAGES = 1000
HELD = 20
PATIENCE = 180.0


class Fleet:
    """Machines by name, each a working directory with the same settings; servers leave the judging to workers."""

    def __init__(self, directory: Path, database: str, **common: str) -> None:
        self.environment = {"DATABASE_URL": database}
        self.servers: list[Running] = []
        self.processes: list[Process] = []
        for name in ("one", "two", "worker", "desk"):
            place = directory / name
            place.mkdir()
            (place / "moderator.toml").write_text(SETTINGS.format(parallel=2 if name == "worker" else 0, **common))
        self._directory = directory

    async def serve(self, name: str) -> None:
        place = self._directory / name
        settings = ["--config", str(place / "moderator.toml")]
        self.servers.append(Running(place, free_port(), *settings, environment=self.environment))
        await asyncio.to_thread(self.servers[-1].wait_until_ready)

    async def command(self, name: str, *arguments: str) -> Process:
        program = [sys.executable, "-m", "chat_moderator", *arguments]
        started = await asyncio.create_subprocess_exec(
            *program, cwd=self._directory / name, env=os.environ | self.environment, stdout=PIPE, stderr=DEVNULL
        )
        self.processes.append(started)
        return started

    async def kill(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
        for server in self.servers:
            if server.process.poll() is None:
                server.kill()


@pytest.fixture
async def alerts() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def fleet(postgres: PostgresServer, alerts: Receiver, tmp_path: Path) -> AsyncIterator[Fleet]:
    broker = NatsBroker(tmp_path)
    queue, schema = f"nats://127.0.0.1:{broker.server.port}", postgres.settings().schema
    started = Fleet(tmp_path, postgres.url(), queue=queue, schema=schema, alerts=alerts.url)
    yield started
    await started.kill()
    broker.stop()


async def decided(url: str) -> list[str]:
    ids: list[str] = []
    after = 0
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        while True:
            answer = await client.get("/v1/decisions", params={"after": after, "limit": 1000})
            if answer.status_code != 200:  # while the database is away
                return []
            page = answer.json()
            if not page["decisions"]:
                return ids
            ids += [decision["id"] for decision in page["decisions"]]
            after = page["next"]


async def waiting(url: str) -> bool:
    """Whether actions are still to be done."""
    async with httpx.AsyncClient(timeout=10) as client:
        return "chat_moderator_outbox 0.0" not in (await client.get(f"{url}/metrics")).text


async def test_workers_without_a_directory_and_two_servers(
    postgres: PostgresServer, fleet: Fleet, alerts: Receiver, tmp_path: Path
) -> None:
    """One worker is killed, the database restarts: every message is decided once, every alert told once."""
    for name in ("one", "two"):
        await fleet.serve(name)
    workers = [await fleet.command("worker", "work") for _ in range(2)]
    for start in range(0, MESSAGES, 100):
        batch = [
            {"id": str(n), "text": "HEY" if n % 50 == 0 else "nice play", "channel": f"c{n % 30}"}
            for n in range(start, start + 100)
        ]
        async with httpx.AsyncClient(timeout=30) as client:
            for server in fleet.servers:  # a producer that repeats itself elsewhere
                answer = await client.post(f"{server.url}/v1/messages", json={"messages": batch})
                assert answer.status_code == 202
        if start == 300:
            workers[0].kill()
        if start == 600:
            await asyncio.to_thread(postgres.restart)
    one, two = (server.url for server in fleet.servers)
    async with asyncio.timeout(PATIENCE):
        while len(ids := await decided(one)) < MESSAGES or await waiting(one):
            await asyncio.sleep(0.1)
    assert max(Counter(ids).values()) == 1
    assert sorted(await decided(two)) == sorted(ids)
    workers[1].send_signal(signal.SIGTERM)
    assert await workers[1].wait() == 0

    (tmp_path / "desk" / "data").mkdir()
    listing = await fleet.command("desk", "reviews", "list", "--json")
    held = [json.loads(line) for line in (await listing.communicate())[0].splitlines()]
    assert len(held) == HELD
    # What was under way when the database went is uncertain, and not told again.
    told = Counter(delivery.headers["webhook-id"] for delivery in alerts.deliveries)
    assert max(told.values()) == 1
    uncertain = [each for each in held if each["record"]["outcomes"][0]["state"] == "uncertain"]
    assert len(told) + len(uncertain) >= HELD
    approving = await fleet.command("desk", "reviews", "approve", str(held[0]["id"]))
    assert (await approving.communicate())[0].decode() == f"review {held[0]['id']} is approved\n"
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{one}/v1/reviews", params={"state": "approved"})
    assert [review["id"] for review in answer.json()["reviews"]] == [held[0]["id"]]
    assert len(alerts.deliveries) == len(told)
    assert [server.stop() for server in fleet.servers] == [0, 0]
