"""What a route promises: who may call it, what it takes and answers. Authentication, limits and OpenAPI follow it."""

from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

import msgspec
from litestar import Request
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler, WebsocketRouteHandler
from litestar.types import Receive, Scope, Send

from chat_moderator.gateway import limits
from chat_moderator.gateway.bodies import convert_query, decode, read_body
from chat_moderator.gateway.problems import PROBLEM_DETAILS, Dialect
from chat_moderator.types import Role

B = TypeVar("B")
Q = TypeVar("Q")

OPT: Final = "contract"

HEADERS: Final = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


class Reply:
    """An answer, as the ASGI application that sends it."""

    def __init__(
        self,
        body: bytes = b"",
        status: int = HTTPStatus.OK,
        media: str = "application/json",
        headers: tuple[tuple[bytes, bytes], ...] = HEADERS,
    ) -> None:
        self._body = body
        own = ((b"content-type", media.encode()),) if body else ()
        sized = () if status == HTTPStatus.NO_CONTENT else ((b"content-length", str(len(body)).encode()),)
        self._start = {"type": "http.response.start", "status": int(status), "headers": [*own, *sized, *headers]}

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Sends it."""
        await send(self._start)  # type: ignore[arg-type]
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


@dataclass(frozen=True)
class Contract(Generic[B, Q]):
    """One route's promise.

    Args:
        summary: one line.
        needs: the role; None lets anyone call.
        on_loopback: callers from this machine need no key.
        in_frames: a WebSocket whose first frame may carry the token.
        tickets: a ticket is taken in the place of a key.
        body: the type of the JSON body.
        limit: bytes of the body.
        query: the type of the parameters after `?`.
        answer: the type of the JSON answer.
        status: of success.
        media: of the answer.
        problems: statuses beyond those that every route may answer.
        example: a body.
        answered: an answer to it.
        detail: more than one line, in Markdown.
        tag: the group it is shown in.
        dialect: how it says what goes wrong.
        key_in_query: the key may stand in the query as `key`, or in the header X-Goog-Api-Key.
    """

    summary: str
    needs: Role | None
    on_loopback: bool = False
    in_frames: bool = False
    tickets: bool = False
    body: type[B] | None = None
    limit: int = limits.BODY
    query: type[Q] | None = None
    answer: Any = None
    status: int = HTTPStatus.OK
    media: str = "application/json"
    problems: tuple[int, ...] = ()
    example: Any = None
    answered: Any = None
    detail: str = ""
    tag: str = "moderation"
    dialect: Dialect = PROBLEM_DETAILS
    key_in_query: bool = False

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[B]:
        """Of the body."""
        assert self.body is not None  # noqa: S101 -- a route without a body never reads one
        return msgspec.json.Decoder(self.body)

    async def read(self, request: Request[Any, Any, Any]) -> B:
        """The body.

        Raises:
            ProblemError: 400, 408, 413 or 415.
        """
        return decode(self.decoder, await read_body(request.scope, request.receive, self.limit))

    def ask(self, query: Any) -> Q:
        """The parameters after `?`.

        Raises:
            ProblemError: 400, naming the parameter.
        """
        assert self.query is not None  # noqa: S101 -- a route without parameters never asks
        return convert_query(dict(query), self.query)

    def reply(self, value: Any) -> Reply:
        """The answer of success."""
        return Reply(msgspec.json.encode(value), self.status)


def readable(path: str, contract: Contract[Any, Any]) -> HTTPRouteHandler:
    """Decorates what answers GET and HEAD."""
    return HTTPRouteHandler(path, http_method=(HttpMethod.GET, HttpMethod.HEAD), opt={OPT: contract})


def contract_of(handler: Any) -> Contract[Any, Any] | None:
    """What a route declared; None for the answers to OPTIONS, which the framework makes."""
    assert isinstance(handler, (HTTPRouteHandler, WebsocketRouteHandler))  # noqa: S101 -- there are no others
    found: Contract[Any, Any] | None = handler.opt.get(OPT)
    return found
