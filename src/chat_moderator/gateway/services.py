"""What every route needs at hand: the application, who may enter, whether the server is about to stop."""

import time
from typing import Any

from litestar import Request, WebSocket

from chat_moderator.app import App
from chat_moderator.classifiers.perspective_scale import Scales
from chat_moderator.gateway.auth import Caller, Gate, KeyRing
from chat_moderator.gateway.signatures import Verifier
from chat_moderator.gateway.usage import UsageMeter
from chat_moderator.sinks.metrics import Live


class Services:
    """Lives as long as the gateway.

    Attributes:
        draining: set when the server stops; whoever waits for the next decision ends.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.keys = KeyRing(app.store)
        self.gate = Gate(self.keys, app.settings.server)
        self.usage = UsageMeter(app.store, app.metrics)
        self.webhooks = Verifier(app.settings.webhooks)
        self.draining = False
        self._scales: Scales | None = None
        self._live = (0.0, Live(0.0, 0.0, 0.0, 0.0))

    @property
    def scales(self) -> Scales:
        """Perspective's scale for the model that runs now."""
        model = self.app.moderator.cascade.version
        if self._scales is None or self._scales.model != model:
            self._scales = Scales(model)
        return self._scales

    def drain(self) -> None:
        """Lets long polls and streams end."""
        self.draining = True
        self.app.signal.fire()

    @property
    def experimental(self) -> tuple[str, ...]:
        """Labels of the cascade that had too little data to be trusted."""
        return tuple(getattr(self.app.moderator.cascade, "experimental", ()))

    def live(self) -> Live:
        """The live numbers, counted once a second however many look."""
        until, live = self._live
        if time.monotonic() >= until:
            live = self.app.metrics.live()
            self._live = (time.monotonic() + 0.9, live)
        return live


def services_of(connection: Request[Any, Any, Any] | WebSocket[Any, Any, Any]) -> Services:
    """What the gateway of a connection has."""
    services: Services = connection.app.state.services
    return services


def caller_of(connection: Request[Any, Any, Any] | WebSocket[Any, Any, Any]) -> Caller:
    """Who calls, as the gate found."""
    caller: Caller = connection.scope["user"]
    return caller
