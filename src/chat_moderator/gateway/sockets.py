"""WebSocket connections: frames in and out, and the work that goes on side by side on one of them."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, Final

import msgspec
from litestar import WebSocket

from chat_moderator.gateway.auth import SUBPROTOCOL
from chat_moderator.gateway.problems import FAULT

log = logging.getLogger(__name__)

POLICY: Final = 1008
FAULT_CODE: Final = 1011
TRY_LATER: Final = 1013
_REASON: Final = 123


class Frames:
    """The frames of one accepted connection. A client that is gone ends the reading, never the server's other work."""

    def __init__(self, socket: WebSocket[Any, Any, Any]) -> None:
        self._socket = socket

    async def serve(self, work: Coroutine[Any, Any, None]) -> None:
        """Does the connection's work; a client that is gone is no error."""
        try:
            await work
        except OSError:
            return
        except Exception:
            log.exception("a connection failed in a way that was not foreseen")
            with contextlib.suppress(OSError):
                await self.close(FAULT_CODE, FAULT)

    async def receive(self) -> bytes | None:
        """The next frame, text or binary; None once the client is gone or the server stops."""
        event: Any = await self._socket.receive()
        if event["type"] != "websocket.receive":
            return None
        text = event.get("text")
        return text.encode() if text is not None else bytes(event.get("bytes") or b"")

    async def send(self, value: Any) -> None:
        """Sends a value as JSON; waits while the client does not read.

        Raises:
            OSError: the client is gone.
        """
        await self._socket.send_text(msgspec.json.encode(value).decode())

    async def close(self, code: int, reason: str) -> None:
        """Ends the connection; a reason longer than a close frame may hold is cut."""
        await self._socket.close(code, reason.encode()[:_REASON].decode(errors="ignore"))


def chosen(socket: WebSocket[Any, Any, Any]) -> str | None:
    """The first subprotocol that carries no token: a browser wants one of its own back."""
    offered: list[str] = socket.scope.get("subprotocols") or []
    return next((each for each in offered if not each.startswith(SUBPROTOCOL)), None)


async def side_by_side(*work: Coroutine[Any, Any, None]) -> None:
    """Runs all until the first ends, then ends the others."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
