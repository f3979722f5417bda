"""What the server offers, for programs and for people: `/schema`, `/schema/openapi.json`, `/docs`."""

from typing import Any, Final

import msgspec
from litestar import Request
from litestar.types import ASGIApp

from chat_moderator.gateway import docs_page
from chat_moderator.gateway.contract import Contract, Reply, readable
from chat_moderator.gateway.openapi import document

SCHEMA: Final[Contract[Any, Any]] = Contract(summary="This description, as OpenAPI 3.1.", needs=None, tag="system")
DOCS: Final[Contract[Any, Any]] = Contract(
    summary="This description, as a page.", needs=None, media="text/html", tag="system"
)


@readable("/schema", SCHEMA)
async def schema(request: Request[Any, Any, Any]) -> ASGIApp:
    """The page for a browser, else the document."""
    wants_page = "text/html" in request.headers.get("accept", "")
    return _page(request) if wants_page else _document(request)


@readable("/schema/openapi.json", SCHEMA)
async def schema_file(request: Request[Any, Any, Any]) -> ASGIApp:
    """The document."""
    return _document(request)


@readable("/docs", DOCS)
async def docs(request: Request[Any, Any, Any]) -> ASGIApp:
    """The page."""
    return _page(request)


def _document(request: Request[Any, Any, Any]) -> Reply:
    return Reply(msgspec.json.encode(document(request.app.routes, request.scope.get("root_path", ""))))


def _page(request: Request[Any, Any, Any]) -> Reply:
    shown = docs_page.page(document(request.app.routes))
    return Reply(shown, media="text/html; charset=utf-8", headers=docs_page.HEADERS)
