"""The description of the interface: complete, true to its types, and loading nothing."""

import re
from html.parser import HTMLParser
from typing import Any

import httpx
import msgspec
from litestar import Litestar

from tests.gateway.serving import Gateway
from tests.gateway.test_auth import declared


async def document(gateway: Gateway) -> dict[str, Any]:
    answer = await gateway.http.get("/schema")
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    return found


def operations(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{method} {path}", each) for path, methods in found["paths"].items() for method, each in methods.items()]


async def test_every_route_is_described(gateway: Gateway) -> None:
    found = await document(gateway)
    assert found["openapi"].startswith("3.1")
    assert (await gateway.http.get("/schema/openapi.json")).json() == found
    app = gateway.server.config.app
    assert isinstance(app, Litestar)
    described = {
        (method.upper(), re.sub(r"\{\w+\}", "0", path.replace("{name}", "chat.js")))
        for path, methods in found["paths"].items()
        for method in methods
    }
    assert {(method, path) for method, path, _ in declared(app) if method not in {"WS", "HEAD"}} == described
    identifiers = [each["operationId"] for _, each in operations(found)]
    assert len(identifiers) == len(set(identifiers))


async def test_every_body_and_answer_has_an_example_that_its_type_takes(gateway: Gateway) -> None:
    app = gateway.server.config.app
    assert isinstance(app, Litestar)
    for method, path, contract in declared(app):
        if contract.body is not None:
            contract.decoder.decode(msgspec.json.encode(contract.example))
        if contract.answer is not None:
            made = msgspec.json.decode(msgspec.json.encode(contract.answered), type=contract.answer)
            assert msgspec.to_builtins(made), (method, path)


async def test_every_operation_says_who_may_call_and_how_it_is_refused(gateway: Gateway) -> None:
    found = await document(gateway)
    for name, operation in operations(found):
        assert operation["summary"], name
        if "security" in operation:
            assert "401" in operation["responses"], name
            assert operation["x-role"] in {"client", "moderator", "admin"}
        if "requestBody" in operation:
            assert {"400", "413", "415"} <= set(operation["responses"]), name
            assert "example" in operation["requestBody"]["content"]["application/json"]
        for status, response in operation["responses"].items():
            if status >= "400":
                compatible = operation["tags"] == ["compatible"] and "security" in operation
                shape = "application/json" if compatible else "application/problem+json"
                assert list(response["content"]) == [shape]


async def test_every_reference_leads_somewhere(gateway: Gateway) -> None:
    text = (await gateway.http.get("/schema")).text
    schemas = set((await document(gateway))["components"]["schemas"])
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= schemas
    assert set(re.findall(r'"\$ref":"(?!#/components/schemas/)', text)) == set()


class Loaded(HTMLParser):
    """Collects what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "img", "iframe", "object", "embed"} or any(name == "src" for name, _ in attrs):
            self.found.append(tag)


async def test_the_page_loads_nothing_and_names_every_route(gateway: Gateway) -> None:
    for path, headers in (("/docs", {}), ("/schema", {"accept": "text/html,*/*"})):
        answer = await gateway.http.get(path, headers=headers)
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
        page = Loaded()
        page.feed(answer.text)
        assert page.found == []
        assert not re.findall(r"https?://", answer.text)
        for route in (await document(gateway))["paths"]:
            assert route in answer.text


async def test_everything_works_behind_a_prefix_that_a_proxy_puts_before_it(gateway: Gateway) -> None:
    app: Any = gateway.server.config.app
    behind = httpx.ASGITransport(app, root_path="/chat-moderation")
    async with httpx.AsyncClient(transport=behind, base_url="http://localhost/chat-moderation/") as client:
        assert (await client.get("readyz")).json() == {"status": "ready"}
        assert (await client.get("schema")).json()["servers"] == [{"url": "/chat-moderation"}]
        home = await client.get("")
        assert home.next_request is not None
        assert home.next_request.url.path == "/chat-moderation/chat"
        assert (await client.get("chat/chat.js")).status_code == 200
