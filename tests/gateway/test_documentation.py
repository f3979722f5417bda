"""The reference names every route of the router, and every status that a route may answer."""

import re
from pathlib import Path

from litestar import Litestar
from litestar.routes import WebSocketRoute

from tests.gateway.serving import Gateway

REFERENCE = Path(__file__).parents[2] / "docs/reference/http.md"


async def test_the_reference_names_every_route(gateway: Gateway) -> None:
    text = REFERENCE.read_text("utf-8")
    app = gateway.server.config.app
    assert isinstance(app, Litestar)
    for route in app.routes:
        path = re.sub(r":\w+\}", "}", route.path)
        methods = {"WS"} if isinstance(route, WebSocketRoute) else set(route.methods) - {"OPTIONS", "HEAD"}
        for method in methods:
            assert f"`{method} {path}`" in text, (method, path)
