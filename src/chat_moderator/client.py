"""A client for a chat or a game server: asks before a message is shown, or shows it and hears what is decided.

Speaks `WS /v1/stream`. It connects again by itself, sends again what was not answered, under the same ids, and goes on
in the decision feed where it was.
"""

import asyncio
import contextlib
import inspect
import itertools
import logging
import random
import re
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from chat_moderator.errors import PermanentError
from chat_moderator.types import Message, Span, Verdict

LARGEST: Final = 128 * 1024
"""Bytes of a frame, as the server counts."""

WINDOW: Final = 32
"""Frames on their way at once."""

PAUSE: Final = 0.3
LONGEST_PAUSE: Final = 60.0
FIRST_DELAY: Final = 0.5
"""Seconds until the first try to connect again; doubles with every try."""

LONGEST_DELAY: Final = 15.0
_FINAL: Final = frozenset({401, 403})

log = logging.getLogger(__name__)


class Decision(msgspec.Struct, frozen=True):
    """What is to become of a message; the last one of an id and revision counts.

    `action` is the verdict, `rule` what decided, `score` from 0 to 1, `reply` the text for the author, `spans` in code
    points of the text. `degraded` is set where a better judge should have answered, or none did in time.
    """

    id: str
    action: Verdict
    rule: str
    score: float = 0.0
    scores: dict[str, float] = {}
    label: str = ""
    reply: str = ""
    actions: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    platform: str = "api"
    community: str = ""
    channel: str = ""
    revision: int = 0
    model: str = ""
    policy: str = ""
    seq: int = 0
    degraded: bool = False


class Place(msgspec.Struct, frozen=True):
    """How far decisions, and what moderators changed of them, were read."""

    after: int
    changed: int


class MessageRefusedError(PermanentError):
    """The server does not take a message, or this client; `status` as in HTTP, 0 once the client is closed."""

    def __init__(self, status: int, detail: str, *, field: str = "", message: Message | None = None) -> None:
        super().__init__(f"{detail} ({field})" if field else detail)
        self.status = status
        self.detail = detail
        self.field = field
        self.message = message


Key = tuple[str, int, str, str]
Token = str | Callable[[], str | Awaitable[str]]


class _Posted:
    def __init__(self, message: Message, frame: str, future: "asyncio.Future[Decision] | None") -> None:
        self.message = message
        self.frame = frame
        self.future = future
        self.over: ClientConnection | None = None


class Client:
    """Connects while it is entered: `async with Client(url, token=…) as client`.

    Args:
        url: of the moderator, such as `https://moderator.example.org`.
        token: a key or a ticket, or what gives one each time it connects.
        deadline: seconds that `moderate` waits.
        on_failure: the verdict past the deadline.
        on_decision: hears every decision, also the later ones of moderators.
        on_error: hears what was refused of what `send` sent, and why there is no connection.
        place: goes on from the `place` of an earlier client; from now on where it is None.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token = "",
        deadline: float = 2.0,
        on_failure: Verdict = Verdict.HOLD,
        on_decision: Callable[[Decision], None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
        place: Place | None = None,
    ) -> None:
        self._address = re.sub(r"^http(.*?)/?$", r"ws\1/v1/stream", url)
        self._token = token
        self._deadline = deadline
        self._on_failure = on_failure
        self._on_decision = on_decision
        self._on_error = on_error
        self.place = place
        self._unsent: dict[str, _Posted] = {}
        self._asked: dict[Key, asyncio.Future[Decision]] = {}
        self._numbers = itertools.count(1)
        self._wake = asyncio.Event()
        self._paused_until = 0.0
        self._tries = 0
        self._ended: MessageRefusedError | None = None
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the connection; who still waits for a decision gets a `MessageRefusedError`."""
        self._end(0, "the client was closed")
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def send(self, message: Message) -> None:
        """Hands in a message that is shown at once; `on_decision` hears what is decided."""
        self._post(message, None)

    async def moderate(self, message: Message) -> Decision:
        """Asks before a message is shown; past the deadline the answer is the verdict on failure.

        Raises:
            MessageRefusedError: the server does not take it.
        """
        key = _key_of(message)
        future = self._asked.get(key)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._asked[key] = loop.create_future()
            future.add_done_callback(lambda done: done.exception())  # whoever waited may have given up
            loop.call_later(self._deadline, self._give_up, message, future)
            self._post(message, future)
        return await asyncio.shield(future)

    def _post(self, message: Message, future: "asyncio.Future[Decision] | None") -> None:
        ref = str(next(self._numbers))
        body = msgspec.structs.replace(message, client="")
        frame = msgspec.json.encode({"type": "messages", "ref": ref, "messages": [body]})
        posted = _Posted(message, frame.decode(), future)
        if len(frame) > LARGEST:
            self._refuse(posted, MessageRefusedError(413, "the message is too large", message=message))
        elif self._ended is not None:
            self._refuse(posted, self._ended)
        else:
            self._unsent[ref] = posted
            self._wake.set()

    def _give_up(self, message: Message, future: "asyncio.Future[Decision]") -> None:
        if future.done():
            return
        self._forget(_key_of(message), future)
        future.set_result(
            Decision(
                message.id,
                self._on_failure,
                "on_failure: no verdict in time",
                platform=message.platform,
                community=message.community,
                channel=message.channel,
                revision=message.revision,
                degraded=True,
            )
        )

    def _forget(self, key: Key, future: "asyncio.Future[Decision]") -> None:
        if self._asked.get(key) is future:
            del self._asked[key]

    def _refuse(self, posted: _Posted, error: MessageRefusedError) -> None:
        if posted.future is None:
            self._tell(self._on_error, error)
            return
        self._forget(_key_of(posted.message), posted.future)
        if not posted.future.done():
            posted.future.set_exception(error)

    def _end(self, status: int, detail: str) -> None:
        self._ended = self._ended or MessageRefusedError(status, detail)
        for posted in self._unsent.values():
            self._refuse(posted, MessageRefusedError(status, detail, message=posted.message))
        self._unsent.clear()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(self._ended)
        self._asked.clear()

    def _tell(self, listener: Callable[[Any], None] | None, value: Any) -> None:
        if listener is None:
            return
        try:
            listener(value)
        except Exception:
            log.exception("a listener of the client failed; the client goes on")

    async def _run(self) -> None:
        while self._ended is None:
            try:
                await self._serve()
            except (OSError, WebSocketException) as problem:
                self._tell(self._on_error, problem)
            except Exception as problem:  # the function that gives tokens is the caller's
                log.exception("no connection could be made; it is tried again")
                self._tell(self._on_error, problem)
            longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0**self._tries)
            self._tries = min(self._tries + 1, 10)
            if self._ended is None:
                await asyncio.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter

    async def _serve(self) -> None:
        """One connection, until it ends."""
        token = self._token() if callable(self._token) else self._token
        if inspect.isawaitable(token):
            token = await token
        place = self.place
        query = "" if place is None else "?" + urlencode({"after": place.after, "changed": place.changed})
        async with connect(f"{self._address}{query}", max_size=None) as socket:
            await socket.send(msgspec.json.encode({"type": "auth", "token": token}).decode())
            speaking: asyncio.Task[None] | None = None
            try:
                async for raw in socket:
                    self._hear(msgspec.json.decode(raw, type=_Frame))
                    if self._ended is not None:
                        return
                    speaking = speaking or asyncio.create_task(self._speak(socket))
            finally:
                if speaking is not None:
                    speaking.cancel()
                    await asyncio.gather(speaking, return_exceptions=True)

    async def _speak(self, socket: ClientConnection) -> None:
        """Sends what is unsent and was not yet sent over this connection, oldest first."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(WebSocketException):  # the reading side ends too, and says why
            while True:
                self._wake.clear()
                for posted in list(itertools.islice(self._unsent.values(), WINDOW)):
                    if loop.time() < self._paused_until:
                        break
                    if posted.over is not socket:
                        posted.over = socket
                        await socket.send(posted.frame)
                await self._wake.wait()

    def _hear(self, frame: "_Frame") -> None:
        match frame.type:
            case "ready":
                self._tries = 0
            case "accepted":
                self._unsent.pop(frame.ref, None)
            case "decisions":
                for decision in (*frame.decisions, *frame.changes):
                    self._decided(decision)
            case "error":
                self._failed(frame)
        if frame.next is not None and frame.changed is not None:
            self.place = Place(frame.next, frame.changed)
        self._wake.set()

    def _decided(self, decision: Decision) -> None:
        key = (decision.id, decision.revision, decision.platform, decision.channel)
        future = self._asked.pop(key, None)
        if future is not None and not future.done():
            future.set_result(decision)
        self._tell(self._on_decision, decision)

    def _failed(self, frame: "_Frame") -> None:
        posted = self._unsent.get(frame.ref)
        if posted is None:
            if frame.status in _FINAL:
                if not callable(self._token):  # a function may have a better one next time
                    self._end(frame.status, frame.detail)
                self._tell(self._on_error, MessageRefusedError(frame.status, frame.detail))
        elif frame.retry_after:
            posted.over = None
            loop = asyncio.get_running_loop()
            pause = min(frame.retry_after + PAUSE, LONGEST_PAUSE)
            self._paused_until = loop.time() + pause
            loop.call_later(pause + 0.001, self._wake.set)
        else:
            del self._unsent[frame.ref]
            error = MessageRefusedError(frame.status, frame.detail, field=frame.field, message=posted.message)
            self._refuse(posted, error)


class _Frame(msgspec.Struct, frozen=True):
    type: str
    ref: str = ""
    next: int | None = None
    changed: int | None = None
    decisions: tuple[Decision, ...] = ()
    changes: tuple[Decision, ...] = ()
    status: int = 0
    detail: str = ""
    field: str = ""
    retry_after: float = 0.0


def _key_of(message: Message) -> Key:
    return message.id, message.revision, message.platform, message.channel
