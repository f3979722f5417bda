"""The web chat: its page, and `WS /v1/chat/{room}`, where a message is judged before anybody sees it."""

import asyncio
import re
import uuid
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

import msgspec
from litestar import Request, WebSocket, websocket
from litestar.types import ASGIApp
from msgspec.structs import replace

from chat_moderator.errors import ConflictError
from chat_moderator.gateway.auth import Caller
from chat_moderator.gateway.bodies import decode
from chat_moderator.gateway.contract import OPT, Contract, Reply, readable
from chat_moderator.gateway.door import deny
from chat_moderator.gateway.limits import CHAT_TEXT, TokenBucket
from chat_moderator.gateway.problems import ProblemError, problem_of
from chat_moderator.gateway.services import Services, caller_of, services_of
from chat_moderator.gateway.sockets import POLICY, TRY_LATER, Frames, chosen, side_by_side
from chat_moderator.sources.webchat import Posted, message_of
from chat_moderator.types import Author, Record, Role, Span, Struct, Verdict

RATE: Final = 5.0
BURST: Final = 20.0
NAME: Final = 40
MEDIA: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
}
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors "
)


class PostFrame(Struct, tag_field="type", tag="post", frozen=True):
    """What a window says; `id` is its own, and stays the same when it sends again."""

    id: str
    name: str
    text: str


class ShownMessage(Struct, frozen=True):
    """A message that everybody in the room may see; `at` in Unix seconds."""

    seq: int
    author: str
    text: str
    at: float


class HistoryFrame(Struct, tag_field="type", tag="history", frozen=True):
    """What was said before."""

    messages: list[ShownMessage]


class MessageFrame(Struct, tag_field="type", tag="message", frozen=True):
    """What was just said."""

    seq: int
    author: str
    text: str
    at: float


class AckFrame(Struct, tag_field="type", tag="ack", frozen=True):
    """What became of the author's message, told to the author alone; `reason` in plain words."""

    id: str
    verdict: Verdict
    seq: int
    label: str
    rule: str
    reason: str
    spans: tuple[Span, ...]


class ErrorFrame(Struct, tag_field="type", tag="error", frozen=True):
    """A message was not taken in."""

    id: str
    reason: str


class LiveFrame(Struct, tag_field="type", tag="live", frozen=True):
    """The live strip, once a second."""

    rate: float
    blocked: float
    p50: float
    p99: float


PAGE: Final[Contract[Any, Any]] = Contract(
    summary="The chat room's page and its parts, which hold nothing secret.", needs=None, media="text/html", tag="pages"
)
CHAT: Final[Contract[Any, Any]] = Contract(
    summary="One window of a chat room.", needs=Role.CLIENT, on_loopback=True, tickets=True, tag="pages"
)


@readable("/", PAGE)
async def home() -> ASGIApp:
    """Leads to the chat; relative, so that a prefix stays."""
    return Reply(status=HTTPStatus.TEMPORARY_REDIRECT, headers=((b"location", b"chat"),))


@readable("/chat", PAGE)
async def page(request: Request[Any, Any, Any]) -> ASGIApp:
    """The page; what it asks for is relative, so its address ends without a slash."""
    if request.scope["raw_path"].endswith(b"/"):
        return Reply(status=HTTPStatus.TEMPORARY_REDIRECT, headers=((b"location", b"../chat"),))
    return _file("chat.html", services_of(request))


@readable("/chat/{name:str}", PAGE)
async def part(request: Request[Any, Any, Any]) -> ASGIApp:
    """A file that the page asks for."""
    name = request.path_params["name"]
    if name not in _PARTS:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"The page has {', '.join(_PARTS)}.")
    return _file(name, services_of(request))


@websocket("/v1/chat/{room:str}", opt={OPT: CHAT})
async def chat(socket: WebSocket[Any, Any, Any]) -> None:
    """One window, until it closes."""
    room = socket.path_params["room"]
    author = socket.query_params.get("author") or uuid.uuid4().hex
    if not _ROOM.fullmatch(room):
        await deny(
            socket.send, ProblemError(HTTPStatus.BAD_REQUEST, "A room is a-z, 0-9 and -, 1 to 40 long.", field="room")
        )
        return
    if not _AUTHOR.fullmatch(author):
        await deny(
            socket.send, ProblemError(HTTPStatus.BAD_REQUEST, "An author is A-Z, a-z, 0-9, _ and -.", field="author")
        )
        return
    caller = caller_of(socket)
    if caller.ticket is not None and caller.ticket.channel not in {"", room}:
        await deny(socket.send, ProblemError(HTTPStatus.FORBIDDEN, "This ticket is for another room.", field="room"))
        return
    await socket.accept(subprotocols=chosen(socket))
    frames = Frames(socket)
    await frames.serve(Window(services_of(socket), frames, room, author, caller).serve())


class Window:
    """One window of a room.

    Args:
        author: the window's id of its own making; it proves nothing.
        caller: whose ticket says who the author is, where there is one.
    """

    def __init__(self, services: Services, frames: Frames, room: str, author: str, caller: Caller) -> None:
        self._services = services
        self._frames = frames
        self._room = room
        self._author = Author(author) if caller.ticket is None else caller.ticket.author
        self._caller = caller
        self._bucket = TokenBucket(RATE, BURST)

    async def serve(self) -> None:
        """Works until the window closes or lags too far behind."""
        with self._services.app.chat.listen(self._room) as heard:
            history = await self._services.app.chat.history(self._room)
            await self._frames.send(HistoryFrame([_shown(posted) for posted in history]))
            await side_by_side(self._speak(), self._hear(heard, {posted.seq for posted in history}), self._pulse())

    async def _speak(self) -> None:
        while (raw := await self._frames.receive()) is not None:
            await self._frames.send(await self._answer(raw))

    async def _hear(self, heard: asyncio.Queue[Posted | None], known: set[int]) -> None:
        while (posted := await heard.get()) is not None:
            if posted.seq not in known:
                await self._frames.send(MessageFrame(posted.seq, posted.author, posted.text, posted.at))
        await self._frames.close(TRY_LATER, "This window lags behind; connect again.")

    async def _pulse(self) -> None:
        while not self._services.draining:
            if not await self._services.keys.stands(self._caller):
                await self._frames.close(POLICY, "The key or ticket is over.")
                return
            live = self._services.live()
            await self._frames.send(LiveFrame(live.rate, live.blocked, live.p50, live.p99))
            await asyncio.sleep(1.0)

    async def _answer(self, raw: bytes) -> AckFrame | ErrorFrame:
        try:
            frame = decode(_POST, raw)
        except ProblemError as problem:
            details = problem.details
            place = f" ({details.field})" if details.field else ""
            return ErrorFrame(_id(raw), f"{details.detail}{place}")
        if self._bucket.take():
            return ErrorFrame(frame.id, "Too many messages at once; wait a moment.")
        if reason := _refused(frame):
            return ErrorFrame(frame.id, reason)
        author = replace(self._author, name=self._author.name or frame.name.strip())
        message = message_of(self._room, frame.id, author, frame.text)
        try:
            record = await self._services.app.chat.post(message)
        except ConflictError:
            return ErrorFrame(frame.id, "This id was used for another message.")
        except Exception as error:  # noqa: BLE001 -- a classifier is a plugin; the window must learn of it and go on
            return ErrorFrame(frame.id, problem_of(error).details.detail)
        return _ack(frame.id, record)


def reason_of(record: Record) -> str:
    """Why a message is not shown, in plain words; empty where it is."""
    decision = record.decision
    if decision.verdict is Verdict.ALLOW:
        return ""
    if decision.reply:
        return decision.reply
    outcome = "was not sent" if decision.verdict is Verdict.BLOCK else "waits for a moderator"
    if not decision.label:
        return f"Your message {outcome} (rule: {decision.rule})."
    return f"Your message {outcome}: it reads as {decision.label.replace('_', ' ')} (rule: {decision.rule})."


def _refused(frame: PostFrame) -> str:
    if not 1 <= len(frame.id) <= 64:  # noqa: PLR2004 -- room for a UUID in any spelling
        return "The id must be 1 to 64 characters long."
    if not 1 <= len(frame.name.strip()) <= NAME:
        return f"The name must be 1 to {NAME} characters long."
    if not frame.text.strip():
        return "The message is empty."
    if len(frame.text) > CHAT_TEXT:
        return f"A message may have {CHAT_TEXT:,} characters; this one has {len(frame.text):,}."
    return ""


def _ack(identifier: str, record: Record) -> AckFrame:
    decision = record.decision
    return AckFrame(
        identifier,
        decision.verdict,
        record.seq,
        decision.label,
        decision.rule,
        reason_of(record),
        decision.assessment.spans,
    )


def _shown(posted: Posted) -> ShownMessage:
    return ShownMessage(posted.seq, posted.author, posted.text, posted.at)


def _file(name: str, services: Services) -> Reply:
    body = files("chat_moderator.console").joinpath(name).read_bytes()
    within = " ".join(services.app.settings.server.origins) or "'none'"  # pages that may show it in a frame
    headers = (
        (b"content-security-policy", f"{CONTENT_SECURITY_POLICY}{within}".encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )
    return Reply(body, media=MEDIA[name.rpartition(".")[2]], headers=headers)


class _Id(msgspec.Struct):
    id: str = ""


def _id(raw: bytes) -> str:
    """The `id` of a frame that was refused, where it can be made out."""
    try:
        return _ID.decode(raw).id[:64]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


_PARTS: Final = ("chat.css", "chat.js", "readable.js")
_ROOM: Final = re.compile(r"[a-z0-9-]{1,40}")
_AUTHOR: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_POST: Final = msgspec.json.Decoder(PostFrame)
_ID: Final = msgspec.json.Decoder(_Id)
