"""A load generator on plain sockets, so that as little as possible of the two cores is its own."""

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field


class Connection:
    """One HTTP/1.1 connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Connects."""
        return cls(*await asyncio.open_connection(host, port), f"{host}:{port}")

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Sends one request; the status and the body of its answer."""
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-length: {len(body)}\r\n"
        self._writer.write(
            head.encode() + b"content-type: application/json\r\nauthorization: Bearer bench\r\n\r\n" + body
        )
        header = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in header.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return int(header[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        """Hangs up."""
        self._writer.close()


@dataclass
class Bulk:
    """What a bulk run found: messages accepted, refusals that were tried again, seconds."""

    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0


async def send_all(host: str, port: int, bodies: Iterable[bytes], connections: int) -> Bulk:
    """Sends every body over some connections; one that is refused for load is sent again."""
    result, waiting, started = Bulk(), iter(bodies), time.perf_counter()

    async def drain(waiting: Iterator[bytes]) -> None:
        connection = await Connection.open(host, port)
        for body in waiting:
            while (answer := await connection.request("POST", "/v1/messages", body))[0] in {429, 503}:
                result.refused += 1
                await asyncio.sleep(0.05)
            status, content = answer
            if status != 202:
                raise RuntimeError(f"the server answered {status}: {content[:300]!r}")
            result.accepted += json.loads(content)["accepted"]
        connection.close()

    await asyncio.gather(*(drain(waiting) for _ in range(connections)))
    result.seconds = time.perf_counter() - started
    return result


@dataclass
class Latencies:
    """Seconds by request, measured from when each was due, so that a stalled server cannot hide its queue."""

    seconds: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def run_request(number: int, text: str) -> tuple[str, bytes]:
    """`POST /run` with one message."""
    return "/run", json.dumps({"messages": [{"id": str(number), "text": text}]}).encode()


async def probe(
    host: str,
    port: int,
    lines: Sequence[str],
    rate: float,
    stop: asyncio.Event,
    *,
    request: Callable[[int, str], tuple[str, bytes]] = run_request,
) -> Latencies:
    """One text a request at a steady rate, until stopped or out of lines."""
    result, connections, tasks = Latencies(), asyncio.Queue[Connection](), set()
    for _ in range(64):
        connections.put_nowait(await Connection.open(host, port))
    started = time.perf_counter()

    async def one(number: int, due: float) -> None:
        connection = await connections.get()
        status, content = await connection.request("POST", *request(number, lines[number]))
        if status != 200:
            raise RuntimeError(f"the server answered {status}: {content[:300]!r}")
        result.seconds.append(time.perf_counter() - due)
        connections.put_nowait(connection)

    async with asyncio.TaskGroup() as group:
        for number in range(len(lines)):
            due = started + number / rate
            if stop.is_set():
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = group.create_task(one(number, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    while not connections.empty():
        connections.get_nowait().close()
    return result
