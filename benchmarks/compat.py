"""`python -m benchmarks.compat`: the routes in the place of OpenAI's and Perspective's, under load, with odd requests.

Exits with 1 when a figure that the project promises is missed.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table
from tests.gateway.odd import ANALYZE, MODERATIONS, complaint, requests

from benchmarks.load import Connection, probe
from benchmarks.messages import texts
from benchmarks.server import Server, serving

INPUTS = 32
CONNECTIONS = 8
PROMISED_TEXTS = 5_000
PROMISED_AT_200 = (5.0, 25.0)  # p50 and p99 in milliseconds
PROMISED_AT_500 = 300.0  # p99.9 in milliseconds: after that Coral gives up

Row = tuple[str, str, str, bool]


def analyze_request(number: int, text: str) -> tuple[str, bytes]:
    """One comment, as Coral asks about it."""
    body = {
        "comment": {"text": text},
        "doNotStore": True,
        "requestedAttributes": {"TOXICITY": {}},
        "languages": ["en"],
        "clientToken": str(number),
    }
    return ANALYZE, json.dumps(body).encode()


async def moderate_all(server: Server, lines: list[str]) -> float:
    """Texts a second of `/v1/moderations`, 32 a request."""
    bodies = iter([lines[start : start + INPUTS] for start in range(0, len(lines), INPUTS)])
    started = time.perf_counter()

    async def drain(bodies: Iterable[list[str]]) -> None:
        connection = await Connection.open(server.host, server.port)
        for body in bodies:
            status, content = await connection.request("POST", MODERATIONS, json.dumps({"input": body}).encode())
            if status != 200:
                raise RuntimeError(f"the server answered {status}: {content[:300]!r}")
        connection.close()

    await asyncio.gather(*(drain(bodies) for _ in range(CONNECTIONS)))
    return len(lines) / (time.perf_counter() - started)


async def odd_requests(server: Server, count: int) -> tuple[int, int]:
    """How many odd requests were answered with a fault of the server, and how many refusals had another shape."""
    faults = shapes = 0
    async with httpx.AsyncClient(base_url=f"http://{server.host}:{server.port}", timeout=60) as client:
        for odd in requests(count, seed=2):
            answer = await client.request(odd.method, odd.path, content=odd.content, headers=odd.headers)
            faults += answer.status_code >= 500
            shapes += bool(complaint(odd.path, answer.status_code, answer.content, odd.method))
    return faults, shapes


async def measure(server: Server, arguments: argparse.Namespace) -> list[Row]:
    """Each promise: what, found, promised, kept."""
    lines = texts(arguments.texts)
    singles = texts(arguments.seconds * 700, seed=3)
    await moderate_all(server, lines[: 64 * INPUTS])  # warm
    rate = await moderate_all(server, lines)
    slow = await probe(
        server.host, server.port, singles[: 200 * arguments.seconds], 200.0, asyncio.Event(), request=analyze_request
    )
    fast = await probe(
        server.host, server.port, singles[: 500 * arguments.seconds], 500.0, asyncio.Event(), request=analyze_request
    )
    faults, shapes = await odd_requests(server, arguments.odd)
    p50, p99, p999 = slow.percentile(0.5), slow.percentile(0.99), fast.percentile(0.999)
    return [
        ("moderations, 32 inputs: texts a second", f"{rate:,.0f}", f">= {PROMISED_TEXTS:,}", rate >= PROMISED_TEXTS),
        ("analyze at 200/s, p50 ms", f"{p50:.1f}", f"<= {PROMISED_AT_200[0]:.0f}", p50 <= PROMISED_AT_200[0]),
        ("analyze at 200/s, p99 ms", f"{p99:.1f}", f"<= {PROMISED_AT_200[1]:.0f}", p99 <= PROMISED_AT_200[1]),
        ("analyze at 500/s, p99.9 ms", f"{p999:.1f}", f"<= {PROMISED_AT_500:.0f}", p999 <= PROMISED_AT_500),
        (f"{arguments.odd:,} odd requests: answered 5xx", f"{faults}", "0", faults == 0),
        (f"{arguments.odd:,} odd requests: refused in another shape", f"{shapes}", "0", shapes == 0),
    ]


def main() -> int:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compat", description=__doc__)
    parser.add_argument("--texts", type=int, default=64_000)
    parser.add_argument("--seconds", type=int, default=10, help="of each steady rate")
    parser.add_argument("--odd", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory)) as server:
        rows = asyncio.run(measure(server, arguments))
    table = Table(title="compatible APIs, default cascade, every answer after its audit row")
    for column in ("what", "found", "promised", "kept"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what, found, promised, kept in rows:
        table.add_row(what, found, promised, "yes" if kept else "NO")
    Console().print(table)
    return 0 if all(kept for *_, kept in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
