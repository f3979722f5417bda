"""The gateway: all routes on one application."""

from typing import Final

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.datastructures import State

from chat_moderator.app import App
from chat_moderator.gateway import (
    assets,
    chat,
    dead_letters,
    decisions,
    erase,
    keys,
    messages,
    openai,
    perspective,
    reviews,
    run,
    schema,
    stream,
    system,
    tickets,
    webhooks,
)
from chat_moderator.gateway.contract import contract_of
from chat_moderator.gateway.door import Door
from chat_moderator.gateway.problems import DIALECTS, PROBLEM_DETAILS, Dialect, answer
from chat_moderator.gateway.services import Services

HEADERS: Final = [
    "authorization",
    "content-type",
    "x-goog-api-client",
    "x-goog-api-key",
    *(f"openai-{name}" for name in ("beta", "organization", "project")),
    *(
        f"x-stainless-{name}"
        for name in (
            "arch",
            "async",
            "helper-method",
            "lang",
            "os",
            "package-version",
            "poll-helper",
            "retry-count",
            "runtime",
            "runtime-version",
            "timeout",
        )
    ),
]
"""What pages of `server.origins` may send; the last of them are of OpenAI's client for browsers."""

ROUTES: Final = (
    assets.client,
    assets.widget,
    chat.home,
    chat.page,
    chat.part,
    chat.chat,
    dead_letters.list_dead_letters,
    dead_letters.retry_dead_letters,
    dead_letters.drop_dead_letters,
    decisions.decisions,
    erase.erase,
    keys.list_keys,
    keys.create_key,
    keys.revoke_key,
    messages.accept,
    openai.moderations,
    perspective.analyze,
    perspective.suggest,
    perspective.discovery,
    reviews.list_reviews,
    reviews.read_review,
    reviews.resolve_review,
    run.run,
    run.moderate,
    schema.schema,
    schema.schema_file,
    schema.docs,
    stream.stream,
    system.health,
    system.ready,
    system.metrics,
    system.live,
    system.live_events,
    tickets.create_ticket,
    webhooks.receive,
    webhooks.receive_platform,
)


def create_gateway(app: App) -> Litestar:
    """The gateway of an application that was started, or is about to be.

    Raises:
        ConfigError: a proxy, an origin or a webhook secret of the settings is not one.
    """
    services = Services(app)
    origins = list(app.settings.server.origins)
    cors = CORSConfig(
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=HEADERS,
        expose_headers=["retry-after"],
    )
    return Litestar(
        ROUTES,
        state=State({"services": services, DIALECTS: _dialects()}),
        middleware=[Door(services.gate, services.usage)],
        exception_handlers={Exception: answer},
        cors_config=cors if origins else None,
        openapi_config=None,
        logging_config=None,
    )


def _dialects() -> dict[str, Dialect]:
    """The dialect of each path that has one of its own, whatever the method."""
    found: dict[str, Dialect] = {}
    for handler in ROUTES:
        contract = contract_of(handler)
        if contract is not None and contract.dialect is not PROBLEM_DETAILS:
            found |= dict.fromkeys(handler.paths, contract.dialect)
    return found
