"""The door: nobody reaches a route whom its contract does not admit."""

from http import HTTPStatus
from typing import Any

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from chat_moderator.gateway.auth import Gate
from chat_moderator.gateway.contract import Reply, contract_of
from chat_moderator.gateway.problems import MEDIA, ProblemError, problem_of
from chat_moderator.gateway.usage import Headers, UsageMeter


class Door(ASGIMiddleware):
    """Asks the gate about every request and WebSocket, before anything of its body is read; answers OPTIONS itself.

    A caller with a key is held to its rate here, and told in the headers of the answer how much is left.
    """

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    def __init__(self, gate: Gate, usage: UsageMeter) -> None:
        self._gate = gate
        self._usage = usage

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """See `ASGIMiddleware.handle`."""
        contract = contract_of(scope["route_handler"])
        if contract is None:
            await _options(scope)(scope, receive, send)
            return
        try:
            caller = scope["user"] = await self._gate.admit(scope, contract)
            left = self._usage.admit(caller) if caller is not None else ()
        except Exception as error:
            if scope["type"] == ScopeType.HTTP:
                raise
            await deny(send, problem_of(error))
            return
        await next_app(scope, receive, _with_headers(send, left) if left else send)


async def deny(send: Send, problem: ProblemError) -> None:
    """Answers a WebSocket's handshake with a problem (the ASGI extension `websocket.http.response`)."""
    headers = {"content-type": MEDIA, "content-length": str(len(problem.body)), **problem.headers}
    start: Any = {
        "type": "websocket.http.response.start",
        "status": problem.status,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    body: Any = {"type": "websocket.http.response.body", "body": problem.body}
    await send(start)
    await send(body)


def _with_headers(send: Send, headers: Headers) -> Send:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *headers]}
        await send(message)

    return sent


def _options(scope: Scope) -> Reply:
    """All methods of a path; the framework knows those of the first function only."""
    routes = scope["litestar_app"].routes
    methods = {
        method
        for route in routes
        if isinstance(route, HTTPRoute) and route.path_format == scope["path_template"]
        for method in route.methods
    }
    return Reply(status=HTTPStatus.NO_CONTENT, headers=((b"allow", ", ".join(sorted(methods)).encode()),))
