"""`python -m benchmarks.queues`: each queue's adapter beside its client's own loop, same envelopes, one run.

Nothing is judged: messages are put, leased and acked. The bare loop puts, gets and acks the very bytes that the adapter
would, prepared beforehand, on the same server with the same durability; it looks into none, keeps no order, counts no
tries and knows none again. Rounds alternate, and a ratio is the median of those of neighbours, so that a busy machine
slows both alike. Exits with 1 when an adapter has less than six tenths of its bare client's rate.
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.servers.brokers import BROKERS

from benchmarks.bare import BARE, Bare, BareSqlite
from benchmarks.messages import CHANNELS, texts
from chat_moderator.protocols import Queue
from chat_moderator.queues.embedded import EmbeddedQueue
from chat_moderator.queues.envelope import Sealed, seal
from chat_moderator.store.database import Database
from chat_moderator.types import Author, Message

PROMISED = 0.6
REQUEST = 512  # messages a put, and a lease
PATIENCE = timedelta(seconds=20)
LARGEST = 200_000  # bytes of an envelope that every queue takes
LOADS = {"embedded": 60_000, "redis": 60_000, "nats": 40_000, "kafka": 30_000, "sqs": 6_000, "pubsub": 20_000}
"""Messages a round: a second or a few, at each one's own speed."""


@dataclass(frozen=True)
class Round:
    """Messages a second of putting, of leasing and acking, and of both one after another."""

    put: float
    drain: float
    both: float


def requests(count: int, number: int) -> list[list[Message]]:
    """Messages in batches of a request, in channels as in the other benchmarks."""
    chance = random.Random(number)
    messages = [
        Message(
            f"{number}-{index}",
            text,
            "bench",
            "bench",
            channel=f"channel-{chance.randrange(CHANNELS)}",
            author=Author(f"user-{chance.randrange(5_000)}"),
        )
        for index, text in enumerate(texts(count, number))
    ]
    return [messages[start : start + REQUEST] for start in range(0, count, REQUEST)]


async def timed(
    batches: Sequence[Sequence[object]],
    put: Callable[[Sequence[object]], Awaitable[object]],
    drain: Callable[[], Awaitable[int]],
    count: int,
) -> Round:
    """Puts all, then drains all."""
    started = time.perf_counter()
    for batch in batches:
        await put(batch)
    middle = time.perf_counter()
    left = count
    while left > 0:
        left -= await drain()
    ended = time.perf_counter()
    if left:
        raise RuntimeError(f"{-left} messages came twice")
    return Round(count / (middle - started), count / (ended - middle), count / (ended - started))


async def adapter(queue: Queue, batches: list[list[Message]]) -> Round:
    """A queue as the intake and a worker use it."""

    async def drain() -> int:
        lease = await queue.lease(REQUEST, wait=PATIENCE)
        if lease is None:
            raise RuntimeError("the queue lost messages")
        await lease.ack()
        return len(lease.messages)

    return await timed(batches, queue.put, drain, sum(map(len, batches)))  # type: ignore[arg-type]


async def bare(client: Bare, batches: list[list[Sealed]]) -> Round:
    """A client by itself; it gets as many envelopes at once as make a lease."""
    sealed = [each for batch in batches for each in batch]
    counts = {each.data: each.count for each in sealed}
    total = sum(each.count for each in sealed)
    wanted = max(1, round(REQUEST * len(sealed) / total))

    async def drain() -> int:
        found = await client.get(wanted)
        await client.ack()
        return sum(counts[data] for data in found)

    return await timed(batches, client.put, drain, total)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def both(
    name: str, directory: Path
) -> AsyncIterator[Callable[[], contextlib.AbstractAsyncContextManager[tuple[Queue, Bare]]]]:
    """Starts the server; opens a fresh queue and a bare client of one kind on it, each time anew."""
    if name == "embedded":
        numbers = iter(range(1_000))

        @contextlib.asynccontextmanager
        async def files() -> AsyncIterator[tuple[Queue, Bare]]:
            folder = directory / str(next(numbers))
            folder.mkdir()
            store, client = Database(folder), BareSqlite(folder / "bare.db")
            yield EmbeddedQueue(store), client
            await client.aclose()
            store.close()

        yield files
        return
    directory = directory / name
    directory.mkdir()
    broker = await asyncio.to_thread(BROKERS[name], directory)

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[tuple[Queue, Bare]]:
        client = BARE[name](broker.settings(broker.server.port))
        await client.open()
        async with broker.queue(lease=60.0) as queue:
            yield queue, client
        await client.aclose()

    try:
        yield opened
    finally:
        broker.stop()


async def measure(name: str, rounds: int, scale: float) -> list[tuple[Round, Round]]:
    """The adapter's and the bare client's figures, by round; each begins with one request that is not counted."""
    found = []
    with tempfile.TemporaryDirectory() as directory:
        async with both(name, Path(directory)) as fresh:
            for number in range(rounds):
                given = requests(REQUEST + round(scale * LOADS[name]), number)
                singly = name == "embedded"  # a row a message, where it has no envelopes
                envelopes = [
                    [
                        each
                        for part in ([[one] for one in batch] if singly else [batch])
                        for each in seal(part, largest=LARGEST)
                    ]
                    for batch in given
                ]
                async with fresh() as (queue, client):
                    await adapter(queue, given[:1])  # joins groups, fills caches
                    await bare(client, envelopes[:1])
                    if number % 2:
                        ours = await adapter(queue, given[1:])
                        theirs = await bare(client, envelopes[1:])
                    else:
                        theirs = await bare(client, envelopes[1:])
                        ours = await adapter(queue, given[1:])
                found.append((ours, theirs))
    return found


def run(names: Sequence[str], rounds: int = 5, scale: float = 1.0) -> int:
    """Measures and prints the table; 0 where every promise is kept."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    table = Table(title=f"Messages a second, {REQUEST} a put and a lease, median of {rounds} rounds")
    for column in ("queue", "put", "lease, ack", "both", "bare client: put", "get, ack", "both", "ratio", "kept"):
        table.add_column(column, justify="left" if column == "queue" else "right")
    kept = True
    for name in names:
        found = asyncio.run(measure(name, rounds, scale))
        ratio = statistics.median(ours.both / theirs.both for ours, theirs in found)
        rates = [
            statistics.median(getattr(pair[side], field) for pair in found)
            for side in (0, 1)
            for field in ("put", "drain", "both")
        ]
        kept &= ratio >= PROMISED
        verdict = "yes" if ratio >= PROMISED else "NO"
        table.add_row(name, *(f"{rate:,.0f}" for rate in rates), f"{ratio:.2f}", verdict)
    Console(width=120).print(table)
    return 0 if kept else 1


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queues", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="QUEUE", help=f"of {', '.join(LOADS)}; else all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="messages a round, times the usual number")
    arguments = parser.parse_args()
    return run(arguments.names or list(LOADS), arguments.rounds, arguments.scale)


if __name__ == "__main__":
    sys.exit(main())
