"""`serve` puts into a broker, `work` drains it: as users run them, and one of them dies."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx

from chat_moderator.cli.stores import use_store
from chat_moderator.store.audit import LastSeq
from tests.end_to_end.test_nothing_is_lost import Producer
from tests.running import Running, free_port
from tests.servers.brokers import RedisBroker
from tests.soak import ROUNDS, Progress

SETTINGS = """
[queue]
type = "redis"
url = "{url}"
lease = 2.0
[worker]
parallel = {parallel}
"""
MESSAGES = 2000


def start_worker(directory: Path) -> "subprocess.Popen[bytes]":
    arguments = ["work", "--data-dir", str(directory), "--config", str(directory / "work.toml")]
    return subprocess.Popen([sys.executable, "-m", "chat_moderator", *arguments], stderr=subprocess.DEVNULL)


async def decided(url: str) -> list[str]:
    ids: list[str] = []
    after = 0
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        while page := (await client.get("/v1/decisions", params={"after": after, "limit": 1000})).json():
            if not page["decisions"]:
                return ids
            ids += [decision["id"] for decision in page["decisions"]]
            after = page["next"]
    return ids


async def newest(directory: Path) -> int:
    """How many decisions there are."""
    return await asyncio.to_thread(use_store, directory, lambda store: store.ask(LastSeq()))


async def test_two_workers_drain_a_broker_and_one_is_killed(tmp_path: Path) -> None:
    broker = RedisBroker(tmp_path)
    url = f"redis://127.0.0.1:{broker.server.port}"
    (tmp_path / "serve.toml").write_text(SETTINGS.format(url=url, parallel=0))
    (tmp_path / "work.toml").write_text(SETTINGS.format(url=url, parallel=2))
    server = Running(tmp_path, free_port(), "--config", str(tmp_path / "serve.toml"))
    workers = []
    try:
        await asyncio.to_thread(server.wait_until_ready)
        workers = [start_worker(tmp_path) for _ in range(2)]
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            for start in range(0, MESSAGES, 100):
                batch = [
                    {"id": str(n), "text": "nice play", "channel": f"c{n % 30}"} for n in range(start, start + 100)
                ]
                answer = await client.post(
                    "/v1/messages", json={"messages": batch * 2}
                )  # a producer that repeats itself
                assert answer.status_code == 202
                if start == MESSAGES // 2:
                    workers[0].kill()
        async with asyncio.timeout(60):
            while len(ids := await decided(server.url)) < MESSAGES:
                await asyncio.sleep(0.1)
        assert max(Counter(ids).values()) == 1
        workers[1].send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(workers[1].wait, 15) == 0
        assert server.stop() == 0
    finally:
        for process in (*workers, server.process):
            if process.poll() is None:
                process.kill()
            process.wait()
        broker.stop()


async def test_sigterm_ends_a_worker_under_load_within_ten_seconds_and_loses_nothing(tmp_path: Path) -> None:
    broker = RedisBroker(tmp_path)
    url = f"redis://127.0.0.1:{broker.server.port}"
    # Leases outlive the test: what a worker leaves unsettled would be missing at its end.
    settings = SETTINGS.replace("lease = 2.0", "lease = 600.0")
    (tmp_path / "serve.toml").write_text(settings.format(url=url, parallel=0))
    (tmp_path / "work.toml").write_text(settings.format(url=url, parallel=2))
    server = Running(tmp_path, free_port(), "--config", str(tmp_path / "serve.toml"))
    producer, stopped, progress = Producer(), asyncio.Event(), Progress("SIGTERM to a worker", ROUNDS)
    worker = None
    try:
        await asyncio.to_thread(server.wait_until_ready)
        sending = asyncio.create_task(producer.send_until(server.url, stopped))
        for number in range(ROUNDS):
            worker = start_worker(tmp_path)
            before = await newest(tmp_path)
            async with asyncio.timeout(60):
                while await newest(tmp_path) < before + 200 * (number % 5 + 1):
                    await asyncio.sleep(0.01)
            worker.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(worker.wait, 10) == 0
            progress.show(number + 1)
        stopped.set()
        await sending
        worker = start_worker(tmp_path)
        async with asyncio.timeout(120):
            while await newest(tmp_path) < len(producer.acknowledged):
                await asyncio.sleep(0.1)
        assert Counter(await decided(server.url)) == Counter(producer.acknowledged)
    finally:
        for process in (worker, server.process):
            if process is not None:
                process.kill()
                process.wait()
        broker.stop()
