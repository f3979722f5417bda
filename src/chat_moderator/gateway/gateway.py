"""The gateway: all routes on one application."""

from typing import Final

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.datastructures import State

from chat_moderator.app import App
from chat_moderator.gateway import (
    chat,
    dead_letters,
    decisions,
    erase,
    keys,
    messages,
    reviews,
    run,
    schema,
    stream,
    system,
    webhooks,
)
from chat_moderator.gateway.door import Door
from chat_moderator.gateway.problems import answer
from chat_moderator.gateway.services import Services

ROUTES: Final = (
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
    webhooks.receive,
)


def create_gateway(app: App) -> Litestar:
    """The gateway of an application that was started, or is about to be.

    Raises:
        ConfigError: a proxy, an origin or a webhook secret of the settings is not one.
    """
    services = Services(app)
    origins = list(app.settings.server.origins)
    cors = CORSConfig(
        allow_origins=origins, allow_methods=["GET", "POST", "DELETE"], allow_headers=["authorization", "content-type"]
    )
    return Litestar(
        ROUTES,
        state=State({"services": services}),
        middleware=[Door(services.gate)],
        exception_handlers={Exception: answer},
        cors_config=cors if origins else None,
        openapi_config=None,
        logging_config=None,
    )
