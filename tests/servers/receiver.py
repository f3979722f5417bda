"""An HTTP receiver of webhooks on loopback that writes down what it got and can be told to misbehave."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Delivery:
    """One request: lower-case headers and the raw body."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answers` are given first, one a request, as (status, headers); then 204."""

    url: str = ""
    deliveries: list[Delivery] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                pairs = (line.split(": ", 1) for line in head[1:] if line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.deliveries.append(Delivery(headers, body))
                status, extra = self.answers.pop(0) if self.answers else (204, {})
                lines = [f"HTTP/1.1 {status} x", "content-length: 0", *(f"{k}: {v}" for k, v in extra.items())]
                writer.write("\r\n".join([*lines, "", ""]).encode())

    async def hang_up(self) -> None:
        for writer in self.writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield receiver
        await receiver.hang_up()
