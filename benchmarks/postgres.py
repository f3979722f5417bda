"""`python -m benchmarks.postgres`: rows a second into the audit in PostgreSQL, beside a plain COPY of the same rows.

The server is one of its own on loopback, with fsync on; batches are of 512, as a worker appends them.
"""

import argparse
import asyncio
import time
from contextlib import aclosing
from typing import Any

import asyncpg
from rich.console import Console
from rich.table import Table
from tests.servers.postgres import PostgresServer

from chat_moderator.store.postgres import PostgresStore
from chat_moderator.store.postgres_context import encoded, key_text
from chat_moderator.store.stored_audit import StoredAudit
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Record

BATCH = 512
PLAIN = """
    CREATE TABLE plain (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, decided_at timestamptz, key text, record json
    )
"""


def made(batches: int) -> list[list[Record]]:
    return [
        [make_record(make_message(f"good game everyone, see you at {n}", channel=f"c{n % 100}")) for n in range(BATCH)]
        for _ in range(batches)
    ]


async def append(stores: list[PostgresStore], batches: list[list[Record]]) -> float:
    """Seconds that it took, with a worker a store."""

    async def work(store: PostgresStore, own: list[list[Record]]) -> None:
        for batch in own:
            await StoredAudit(store).append_once(batch)

    started = time.perf_counter()
    await asyncio.gather(*(work(store, batches[n :: len(stores)]) for n, store in enumerate(stores)))
    return time.perf_counter() - started


async def copy(url: str, batches: list[list[Record]]) -> float:
    """Seconds of a loop of COPY, a commit a batch."""
    connection = await asyncpg.connect(url)
    await connection.execute(PLAIN)
    started = time.perf_counter()
    for batch in batches:
        rows: list[Any] = [(record.decided_at, key_text(record.message), encoded(record)) for record in batch]
        await connection.copy_records_to_table("plain", records=rows, columns=("decided_at", "key", "record"))
    seconds = time.perf_counter() - started
    await connection.close()
    return seconds


async def measure(server: PostgresServer, count: int) -> dict[str, float]:
    settings = server.settings(connections=1)
    async with aclosing(PostgresStore(settings)) as one, aclosing(PostgresStore(settings)) as other:
        await append([one, other], made(4))
        seconds = {"plain COPY": await copy(server.url(), made(count))}
        seconds["one worker"] = await append([one], made(count))
        again = made(count)
        seconds["two workers"] = await append([one, other], again)
        seconds["delivered again"] = await append([one], again)
    return {name: count * BATCH / each for name, each in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Rows a second into the audit in PostgreSQL.")
    parser.add_argument("--batches", type=int, default=100, help="of 512 rows each")
    count = parser.parse_args().batches
    server = PostgresServer(fsync=True)
    try:
        rates = asyncio.run(measure(server, count))
    finally:
        server.stop()
    table = Table("", "rows a second", "of plain COPY")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / rates['plain COPY']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
