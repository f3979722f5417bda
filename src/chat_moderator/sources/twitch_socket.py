"""EventSub's WebSocket: the welcome, keepalives, moves to another address, and the frames in between."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from chat_moderator.errors import TransientError
from chat_moderator.sources.twitch_events import Envelope

KEEPALIVE: Final = 30
"""Seconds after which Twitch sends a sign of life; without one for as long again the connection is lost."""

WELCOME: Final = 10.0


class _Session(msgspec.Struct):
    id: str = ""
    reconnect_url: str | None = None


class Payload(Envelope):
    """Of any frame."""

    session: _Session = msgspec.field(default_factory=_Session)


class Metadata(msgspec.Struct):
    """What a frame is."""

    message_id: str = ""
    message_type: str = ""
    message_timestamp: str = ""


class Frame(msgspec.Struct):
    """One message of the protocol."""

    metadata: Metadata
    payload: Payload = msgspec.field(default_factory=Payload)


_FRAME: Final = msgspec.json.Decoder(Frame)


class EventSocket:
    """One session, an asynchronous context manager and iterator over notifications and revocations.

    When Twitch moves the session to another address, it connects there first and then reads the old connection to its
    end, so nothing is lost.

    Args:
        session: connects.
        url: of EventSub.

    Raises:
        TransientError: it cannot be reached, or says no welcome.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._http = session
        self._url = f"{url}?keepalive_timeout_seconds={KEEPALIVE}"
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._moving: asyncio.Task[tuple[aiohttp.ClientWebSocketResponse, str]] | None = None
        self.session = ""

    async def __aenter__(self) -> Self:
        self._socket, self.session = await self._welcomed(self._url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.gather(self._moving, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while self._socket is not None:
            frame = await self._next()
            if frame is None:
                return
            if frame.metadata.message_type == "session_reconnect":
                if self._moving is None:
                    self._moving = asyncio.create_task(self._welcomed(frame.payload.session.reconnect_url or self._url))
            elif frame.metadata.message_type in {"notification", "revocation"}:
                yield frame

    async def _next(self) -> Frame | None:
        """The next frame; None when the connection is lost. The end of one that was moved is the start of the next."""
        while self._socket is not None:
            data = await self._received(self._socket)
            if data is not None:
                try:
                    return _FRAME.decode(data)
                except msgspec.DecodeError:  # not ours to understand
                    continue
            if self._moving is None:
                return None
            moving, self._moving = self._moving, None
            old = self._socket
            try:
                self._socket, self.session = await moving
            finally:
                await old.close()
        return None

    async def _received(self, socket: aiohttp.ClientWebSocketResponse) -> str | None:
        """A text; None when there is nothing more to come here."""
        receiving = asyncio.ensure_future(socket.receive())
        try:
            if self._moving is not None:  # until the new connection stands, and what is on its way after
                await asyncio.wait({receiving, self._moving}, return_when=asyncio.FIRST_COMPLETED)
                done, _ = await asyncio.wait({receiving}, timeout=DRAIN)
            else:
                done, _ = await asyncio.wait({receiving}, timeout=2 * KEEPALIVE)
            if not done:
                return None
            found: Any = receiving.result()
            return str(found.data) if found.type is aiohttp.WSMsgType.TEXT else None
        finally:
            if not receiving.done():
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)

    async def _welcomed(self, url: str) -> tuple[aiohttp.ClientWebSocketResponse, str]:
        try:
            async with asyncio.timeout(WELCOME):
                socket = await self._http.ws_connect(url, max_msg_size=1 << 20)
                frame = _FRAME.decode((await socket.receive_str()).encode())
        except (aiohttp.ClientError, msgspec.DecodeError, OSError, TimeoutError, TypeError) as problem:
            raise TransientError(f"EventSub cannot be reached: {type(problem).__name__}") from problem
        if frame.metadata.message_type != "session_welcome" or not frame.payload.session.id:
            await socket.close()
            raise TransientError("EventSub says no welcome")
        return socket, frame.payload.session.id


DRAIN: Final = 0.5
"""Seconds that the old connection is read on after a move."""
