"""What pages and programs load: the JavaScript client at `/client.js`, the chat's widget at `/widget.js`."""

from importlib.resources import files
from typing import Any, Final

from litestar.types import ASGIApp

from chat_moderator.gateway.contract import Contract, Reply, readable

_CLIENT: Final[Contract[Any, Any]] = Contract(
    summary="The JavaScript client, a module.", needs=None, media="text/javascript", tag="pages"
)
_WIDGET: Final[Contract[Any, Any]] = Contract(
    summary="Puts the chat room into a page.", needs=None, media="text/javascript", tag="pages"
)
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-cache"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)


@readable("/client.js", _CLIENT)
async def client() -> ASGIApp:
    """The client, minified."""
    return _script("client.min.js")


@readable("/widget.js", _WIDGET)
async def widget() -> ASGIApp:
    """The widget."""
    return _script("widget.js")


def _script(name: str) -> Reply:
    body = files("chat_moderator.console").joinpath(name).read_bytes()
    return Reply(body, media="text/javascript; charset=utf-8", headers=_HEADERS)
