"""How the server is: health, metrics, live numbers; and what it offers: the schema and the page made of it."""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, get
from litestar.types import ASGIApp, Receive, Scope, Send
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from chat_moderator.app import Health
from chat_moderator.gateway.contract import OPT, Contract, Reply, readable
from chat_moderator.gateway.problems import BUSY, ProblemError
from chat_moderator.gateway.services import Services, services_of
from chat_moderator.sinks.metrics import Live
from chat_moderator.store.audit import LastSeq
from chat_moderator.types import Role, Struct

LIVE: Final = {"rate": 812.4, "blocked": 0.031, "p50": 3.1, "p99": 9.8}


class Ready(Struct, frozen=True):
    """The server takes in messages."""

    status: str = "ready"


HEALTH: Final[Contract[Any, Any]] = Contract(
    summary="How things stand.",
    detail=(
        "`status` is ok or degraded, and `problems` says why; `gaps` says where messages may have been missed; 200 as "
        "long as the process answers."
    ),
    needs=None,
    answer=Health,
    answered={
        "status": "ok",
        "problems": [],
        "gaps": [],
        "model": "ngram-4f1c2d9a7b30",
        "policy": "9c1e5a3f2b7d",
        "threshold_from_environment": False,
    },
    tag="system",
)
READY: Final[Contract[Any, Any]] = Contract(
    summary="Whether messages are taken in.",
    needs=None,
    answer=Ready,
    answered={"status": "ready"},
    problems=(HTTPStatus.SERVICE_UNAVAILABLE,),
    tag="system",
)
METRICS: Final[Contract[Any, Any]] = Contract(
    summary="Prometheus metrics.", needs=Role.CLIENT, on_loopback=True, media="text/plain", tag="system"
)
NUMBERS: Final[Contract[Any, Any]] = Contract(
    summary="The last ten seconds in four numbers.",
    detail="Messages a second, the share that was blocked (0 to 1), latency in milliseconds.",
    needs=Role.CLIENT,
    on_loopback=True,
    answer=Live,
    answered=LIVE,
    tag="system",
)
EVENTS: Final[Contract[Any, Any]] = Contract(
    summary="The same once a second, as server-sent events.",
    needs=Role.CLIENT,
    on_loopback=True,
    media="text/event-stream",
    tag="system",
)


@readable("/healthz", HEALTH)
async def health(request: Request[Any, Any, Any]) -> ASGIApp:
    """How things stand."""
    return HEALTH.reply(services_of(request).app.health())


@readable("/readyz", READY)
async def ready(request: Request[Any, Any, Any]) -> ASGIApp:
    """Whether messages are taken in."""
    services = services_of(request)
    if services.draining:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE, "The server is about to stop.", headers={"retry-after": str(BUSY)}
        )
    async with asyncio.timeout(1.0):
        await services.app.store.ask(LastSeq())
    return READY.reply(Ready())


@readable("/metrics", METRICS)
async def metrics(request: Request[Any, Any, Any]) -> ASGIApp:
    """Prometheus metrics."""
    app = services_of(request).app
    await app.measure()
    return Reply(generate_latest(app.metrics.registry), media=CONTENT_TYPE_LATEST)


@readable("/v1/live", NUMBERS)
async def live(request: Request[Any, Any, Any]) -> ASGIApp:
    """The live numbers."""
    return NUMBERS.reply(services_of(request).live())


@get("/v1/live/events", opt={OPT: EVENTS})
async def live_events(request: Request[Any, Any, Any]) -> ASGIApp:
    """The live numbers once a second."""
    return LiveEvents(services_of(request))


class LiveEvents:
    """Sends server-sent events until the client leaves or the server stops."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Sends them."""
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
        gone = asyncio.create_task(_gone(receive))
        try:
            while not (gone.done() or self._services.draining):
                event = b"data: " + msgspec.json.encode(self._services.live()) + b"\n\n"
                await send({"type": "http.response.body", "body": event, "more_body": True})
                await asyncio.wait({gone}, timeout=1.0)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
