"""A custom client's one connection: `WS /v1/stream` takes messages in and gives decisions out."""

import asyncio
from typing import Annotated, Any, Final

import msgspec
from litestar import WebSocket, websocket
from msgspec import Meta

from chat_moderator.errors import ChatModeratorError
from chat_moderator.gateway import limits
from chat_moderator.gateway.auth import Caller
from chat_moderator.gateway.bodies import decode
from chat_moderator.gateway.contract import OPT, Contract
from chat_moderator.gateway.decisions import Feed, client_of
from chat_moderator.gateway.door import deny
from chat_moderator.gateway.limits import Name, Number, TokenBucket
from chat_moderator.gateway.problems import ProblemDetails, ProblemError, problem_of
from chat_moderator.gateway.services import Services, caller_of, services_of
from chat_moderator.gateway.sockets import POLICY, Frames, chosen, side_by_side
from chat_moderator.gateway.tickets import messages_from
from chat_moderator.gateway.wire import MessageBody, Result, result_of
from chat_moderator.store.audit import LastSeq
from chat_moderator.store.changes import LastChange
from chat_moderator.types import Role, Struct

RATE: Final = 100.0
BURST: Final = 200.0
REFUSALS: Final = 100
"""Frames in a row beyond the rate, after which the connection ends."""

PATIENCE: Final = 10.0
"""Seconds for the first frame where it must carry the token."""

PAGE: Final = 100


class AuthFrame(Struct, tag_field="type", tag="auth", frozen=True):
    """The first frame of a browser, which can set no header."""

    token: str


class MessagesFrame(Struct, tag_field="type", tag="messages", frozen=True):
    """Messages to take in; `ref` comes back with the answer."""

    messages: Annotated[list[MessageBody], Meta(min_length=1, max_length=limits.BATCH)]
    ref: Name = ""


class AcceptedFrame(Struct, tag_field="type", tag="accepted", frozen=True):
    """The messages are on disk."""

    ref: str
    accepted: int
    duplicates: int


class ErrorFrame(Struct, tag_field="type", tag="error", omit_defaults=True, frozen=True):
    """A frame was refused, whole; `retry_after` in seconds where another try makes sense."""

    ref: str
    status: int
    title: str
    detail: str
    field: str = ""
    retry_after: float = 0.0


class ReadyFrame(Struct, tag_field="type", tag="ready", frozen=True):
    """The first frame: the caller is known, and decisions are sent from here on."""

    next: int
    changed: int


class DecisionsFrame(Struct, tag_field="type", tag="decisions", frozen=True):
    """Decisions in order, then `changes`: what moderators said later, each the whole result with its new `action`.

    `next` and `changed` are the `after` and the `changed` of a connection that goes on from here.
    """

    decisions: list[Result]
    next: int
    changes: list[Result]
    changed: int


class StreamQuery(Struct, frozen=True):
    """`after`: the last `next`; `changed`: the last `changed`; from now on where one is left out.

    `client` as in `/v1/decisions`.
    """

    after: Number | None = None
    client: Name = ""
    changed: Number | None = None


STREAM: Final[Contract[Any, StreamQuery]] = Contract(
    summary="Send messages and receive decisions on one WebSocket.",
    needs=Role.CLIENT,
    in_frames=True,
    tickets=True,
    query=StreamQuery,
)


@websocket("/v1/stream", opt={OPT: STREAM})
async def stream(socket: WebSocket[Any, Any, Any]) -> None:
    """Takes in messages and gives out decisions until the client leaves."""
    services = services_of(socket)
    try:
        query = STREAM.ask(socket.query_params)
    except ProblemError as problem:
        await deny(socket.send, problem)
        return
    await socket.accept(subprotocols=chosen(socket))
    frames = Frames(socket)
    await frames.serve(Connection(services, frames).serve(caller_of(socket), query))


class Connection:
    """One client's connection."""

    def __init__(self, services: Services, frames: Frames) -> None:
        self._services = services
        self._frames = frames
        self._bucket = TokenBucket(RATE, BURST)
        self._refused = 0

    async def serve(self, caller: Caller | None, query: StreamQuery) -> None:
        """Works until the client leaves or its key is revoked."""
        try:
            caller = caller or await self._introduced()
            client = client_of(caller, query.client)
        except ProblemError as problem:
            await self._frames.send(_refusal("", problem))
            await self._frames.close(POLICY, problem.details.detail)
            return
        after, changed = await self._place(query)
        await self._frames.send(ReadyFrame(after, changed))
        await side_by_side(self._take(caller), self._give(caller, Feed(self._services, client, after, changed)))

    async def _introduced(self) -> Caller:
        try:
            async with asyncio.timeout(PATIENCE):
                raw = await self._frames.receive()
        except TimeoutError as late:
            raise ProblemError(401, "The first frame did not come; it must carry the token.") from late
        if raw is None:
            raise ConnectionError
        frame = decode(_AUTH, raw)
        return await self._services.gate.known(frame.token, Role.CLIENT, tickets=True)

    async def _place(self, query: StreamQuery) -> tuple[int, int]:
        store = self._services.app.store
        # In this order: a decision made in between is then still to come, and what was changed of it as well.
        changed = await store.ask(LastChange()) if query.changed is None else query.changed
        after = await store.ask(LastSeq()) if query.after is None else query.after
        return after, changed

    async def _take(self, caller: Caller) -> None:
        while (raw := await self._frames.receive()) is not None:
            if not await self._services.keys.stands(caller):
                await self._frames.close(POLICY, "The key or ticket is over.")
                return
            answer = await self._answer(raw, caller)
            if answer is not None:
                await self._frames.send(answer)
            if self._refused > REFUSALS:
                await self._frames.close(POLICY, "Too many frames.")
                return

    async def _answer(self, raw: bytes, caller: Caller) -> "AcceptedFrame | ErrorFrame | None":
        wait = self._bucket.take()
        if wait:
            self._refused += 1
            details = ProblemDetails("", "Too Many Requests", 429, f"At most {RATE:.0f} frames a second are taken.")
            return ErrorFrame(_ref(raw), 429, details.title, details.detail, retry_after=round(wait, 3))
        self._refused = 0
        try:
            frame = decode(_FRAMES, raw)
            if isinstance(frame, AuthFrame):
                return None
            messages = messages_from(caller, frame.messages)
            await self._services.usage.take(caller, len(messages))
            new = await self._services.app.queue.put(messages)
        except (ProblemError, ChatModeratorError) as error:
            return _refusal(_ref(raw), problem_of(error))
        return AcceptedFrame(frame.ref, new, len(messages) - new)

    async def _give(self, caller: Caller, feed: Feed) -> None:
        while not self._services.draining:
            page = await feed.page(PAGE, wait=30.0)
            if not await self._services.keys.stands(caller):
                await self._frames.close(POLICY, "The key or ticket is over.")
                return
            if page.records or page.changes:
                decisions, changes = ([result_of(each) for each in part] for part in (page.records, page.changes))
                await self._frames.send(DecisionsFrame(decisions, page.after, changes, page.changed))


def _refusal(ref: str, problem: ProblemError) -> ErrorFrame:
    details = problem.details
    wait = float(problem.headers.get("retry-after", 0))
    return ErrorFrame(ref, details.status, details.title, details.detail, details.field, wait)


class _Ref(msgspec.Struct):
    ref: str = ""


def _ref(raw: bytes) -> str:
    """The `ref` of a frame that was refused, where it can be made out."""
    try:
        return _REF.decode(raw).ref[:256]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


_AUTH: Final = msgspec.json.Decoder(AuthFrame)
_FRAMES: Final[msgspec.json.Decoder[AuthFrame | MessagesFrame]] = msgspec.json.Decoder(AuthFrame | MessagesFrame)
_REF: Final = msgspec.json.Decoder(_Ref)
