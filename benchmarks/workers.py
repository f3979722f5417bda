"""`python -m benchmarks.workers`: what a second `work` process adds on two cores.

A server puts a backlog into the queue and judges nothing; then one worker drains it, or two do, by turns. The encoder
judges every message, with one thread a process. The rate is taken while between a fifth and nine tenths of the backlog
are decided, when all workers have started and none has run out. Exits with 1 when two do less than 1.7 times what one
does, or when a message is not decided once.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
from rich.console import Console
from rich.table import Table
from tests.servers.brokers import BROKERS, Broker

from benchmarks.load import send_all
from benchmarks.messages import bodies, texts
from benchmarks.server import Server, serving

PROMISED = 1.7
BATCH = 500
FROM, TO = 0.2, 0.9
PATIENCE = 150.0
SETTINGS = """
[cascade]
tiers = ["encoder"]
[worker]
parallel = {parallel}
[queue]
{queue}
"""


@dataclass(frozen=True)
class Drained:
    """Messages a second, and processor microseconds a message of the server and of the workers together."""

    rate: float
    server: float
    workers: float


class Workers:
    """Processes of `work`, started together."""

    def __init__(self, server: Server, count: int) -> None:
        command = [sys.executable, "-m", "chat_moderator", "work", "--data-dir", str(server.directory)]
        command += ["--config", str(server.directory / "work.toml")]
        self._processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(count)]

    def processor(self) -> float:
        """Processor seconds so far."""
        return sum(_processor(process.pid) for process in self._processes)

    def stop(self) -> None:
        """Ends them as a user would."""
        for process in self._processes:
            process.terminate()
        if any(process.wait(30) for process in self._processes):
            raise RuntimeError("a worker did not end with 0")


def drain(settings: str, messages: int, workers: int) -> Drained:
    """The rate of so many workers on a fresh backlog."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / "work.toml").write_text(SETTINGS.format(parallel=3, queue=settings))
        with serving(directory, SETTINGS.format(parallel=0, queue=settings)) as server:
            asyncio.run(send_all(server.host, server.port, bodies(texts(messages), BATCH), 2))
            started = Workers(server, workers)
            try:
                return _watch(server, started, messages)
            finally:
                started.stop()


@contextlib.contextmanager
def queue(name: str) -> Iterator[Any]:
    """Settings of a queue that nobody used yet, each time they are asked for."""
    if name == "embedded":
        yield lambda: 'type = "embedded"'
        return
    with tempfile.TemporaryDirectory() as folder:
        broker: Broker = BROKERS[name](Path(folder))

        def fresh() -> str:
            settings = {"type": name} | broker.settings(broker.server.port)
            return "\n".join(f"{key} = {_toml(value)}" for key, value in settings.items())

        try:
            yield fresh
        finally:
            broker.stop()


def run(name: str = "embedded", messages: int = 20_000, rounds: int = 3) -> int:
    """Measures and prints the table; 0 where the promise is kept."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    found: dict[int, list[Drained]] = {1: [], 2: []}
    with queue(name) as fresh:
        for _ in range(rounds):
            for workers, runs in found.items():
                runs.append(drain(fresh(), messages, workers))
    table = Table(title=f"{messages:,} messages, queue {name}, median of {rounds} rounds")
    for column in (
        "workers",
        "messages a second",
        "server, µs a message",
        "workers, µs a message",
        "ratio",
        "promised",
    ):
        table.add_column(column, justify="right")
    ratio = statistics.median(two.rate / one.rate for one, two in zip(found[1], found[2], strict=True))
    for workers, runs in found.items():
        rate, server, own = (
            statistics.median(getattr(each, field) for each in runs) for field in ("rate", "server", "workers")
        )
        last = (f"{ratio:.2f}", f">= {PROMISED}") if workers == len(found) else ("", "")
        table.add_row(f"{workers}", f"{rate:,.0f}", f"{server:.0f}", f"{own:.0f}", *last)
    Console(width=120).print(table)
    return 0 if ratio >= PROMISED else 1


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--queue", default="embedded", choices=("embedded", *BROKERS))
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    return run(arguments.queue, arguments.messages, arguments.rounds)


def _watch(server: Server, workers: Workers, messages: int) -> Drained:
    """Waits until all is decided, and looks at times and processors on the way."""
    deadline = time.monotonic() + PATIENCE
    begin, end = (round(share * messages) for share in (FROM, TO))
    seen: list[tuple[int, float, float, float]] = []
    connection = apsw.Connection(str(server.directory / "moderator.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        while (decided := _decided(connection)) < messages:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{decided} of {messages} messages are decided after {PATIENCE:.0f} seconds")
            if begin <= decided <= end:
                seen.append((decided, time.perf_counter(), server.processor(), workers.processor()))
            time.sleep(0.02)
        if decided > messages:
            raise RuntimeError(f"{decided - messages} messages were decided twice")
    finally:
        connection.close()
    count, seconds, serving_cpu, working_cpu = (last - first for first, last in zip(seen[0], seen[-1], strict=True))
    return Drained(count / seconds, 1e6 * serving_cpu / count, 1e6 * working_cpu / count)


def _decided(connection: apsw.Connection) -> int:
    return int(next(connection.execute("SELECT coalesce(max(seq), 0) FROM decisions"))[0])


def _processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool | int | float) else f'"{value}"'


if __name__ == "__main__":
    sys.exit(main())
