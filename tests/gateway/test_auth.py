"""Who may call what: every route with every role, and without any key nobody but this machine."""

import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute, WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from chat_moderator.config import ServerSettings, Settings
from chat_moderator.errors import ConfigError
from chat_moderator.gateway.auth import Gate, KeyRing, is_loopback
from chat_moderator.gateway.contract import Contract, contract_of
from chat_moderator.gateway.server import require_key
from chat_moderator.store.keys import RevokeKey
from chat_moderator.types import Role
from tests.gateway.serving import Gateway, gateway_on, message, receive

JSON = {"content-type": "application/json"}


def declared(app: Litestar) -> Iterator[tuple[str, str, Contract[object, object]]]:
    """Every method and path of the router with its contract; `WS` for a WebSocket."""
    for route in app.routes:
        path = route.path.replace("{room:str}", "lobby").replace("{name:str}", "chat.js")
        path = re.sub(r"\{\w+:\w+\}", "0", path)
        if isinstance(route, WebSocketRoute):
            contract = contract_of(route.route_handler)
            assert contract is not None, route.path
            yield "WS", path, contract
            continue
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            for method in set(handler.http_methods) - {"OPTIONS"}:
                contract = contract_of(handler)
                assert contract is not None, route.path
                yield method, path, contract


async def status_of(gateway: Gateway, method: str, path: str, headers: Mapping[str, str]) -> int:
    if method == "WS":
        try:
            async with gateway.connect(path, additional_headers=headers):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code
    sent = [(name.encode(), value.encode("latin-1")) for name, value in {**headers, **JSON}.items()]
    async with gateway.http.stream(method, path, headers=sent) as answer:
        return answer.status_code


def routes(gateway: Gateway) -> list[tuple[str, str, Contract[object, object]]]:
    app = gateway.server.config.app
    assert isinstance(app, Litestar)
    found = list(declared(app))
    assert len(found) > 40
    return found


async def test_every_route_admits_the_roles_it_declares_and_no_other(keyed: Gateway) -> None:
    for method, path, contract in routes(keyed):
        for role in Role:
            status = await status_of(keyed, method, path, keyed.bearer(role))
            if contract.needs is None or role.may(contract.needs):
                assert status not in {401, 403}, (method, path, role)
            else:
                assert status == 403, (method, path, role)


async def test_without_a_token_only_what_is_declared_open_answers(keyed: Gateway) -> None:
    for method, path, contract in routes(keyed):
        status = await status_of(keyed, method, path, {})
        if contract.needs is None or contract.on_loopback:
            assert status != 401, (method, path)
        elif contract.in_frames:
            assert status == 101  # the first frame is still to say
        elif contract.key_in_query:
            assert status == 403, (method, path)  # as Google has it
        else:
            assert status == 401, (method, path)


async def test_a_wrong_token_opens_nothing(keyed: Gateway) -> None:
    good = keyed.tokens[Role.ADMIN]
    wrong = ["x", good[:-1], good + "x", good.upper(), good[3:].upper(), "cm_", "cm__", "bearer", "x" * 5000]
    for method, path, contract in routes(keyed):
        if contract.needs is None:
            continue
        for token in wrong:
            assert await status_of(keyed, method, path, {"authorization": f"Bearer {token}"}) == 401, (path, token)
        assert await status_of(keyed, method, path, {"authorization": "Bearer"}) == 401
        assert await status_of(keyed, method, path, {"authorization": "Basic YWRtaW46YWRtaW4="}) == 401


async def test_a_token_beyond_ascii_is_only_wrong(keyed: Gateway) -> None:
    token = keyed.tokens[Role.ADMIN]
    for odd in (f"{token}\u00ff", "\u00e9" * 300, f"cm_\u00e9_{token[16:]}"):
        assert await status_of(keyed, "GET", "/v1/keys", {"authorization": f"Bearer {odd}"}) == 401


async def test_a_refusal_says_how_to_authenticate(keyed: Gateway) -> None:
    missing = await keyed.post("/run", {"messages": [message("1")]})
    wrong = await keyed.post("/run", {"messages": [message("1")]}, authorization="Bearer x")
    assert missing.headers["www-authenticate"] == 'Bearer realm="chat-moderator"'
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
    assert missing.headers["content-type"] == "application/problem+json"


async def test_a_revoked_key_ends_at_once(keyed: Gateway) -> None:
    assert (await keyed.http.get("/v1/decisions", headers=keyed.bearer(Role.CLIENT))).status_code == 200
    gone = await keyed.http.delete(f"/v1/keys/{keyed.ids[Role.CLIENT]}", headers=keyed.bearer(Role.ADMIN))
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await keyed.http.get("/v1/decisions", headers=keyed.bearer(Role.CLIENT))).status_code == 401


async def test_a_key_revoked_elsewhere_is_remembered_for_less_than_a_second(keyed: Gateway) -> None:
    at = 0.0
    ring = KeyRing(keyed.app.store, clock=lambda: at)
    token = keyed.tokens[Role.CLIENT]
    assert await ring.caller(token) is not None
    await keyed.app.store.execute(RevokeKey(id=keyed.ids[Role.CLIENT]))
    at = 1.0
    assert await ring.caller(token) is None


async def test_without_any_key_this_machine_is_admin_with_any_token_or_none(gateway: Gateway) -> None:
    for headers in ({}, {"authorization": "Bearer whatever"}, {"authorization": "Basic eDp4"}):
        for path in ("/v1/keys", "/v1/reviews", "/v1/decisions", "/chat", "/metrics"):
            assert (await gateway.http.get(path, headers=headers)).status_code == 200


FOREIGN = [
    {"host": "evil.example"},
    {"host": "evil.example:8080"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "localhost.evil.example"},
    {"host": "10.0.0.7"},
    {"host": "0.0.0.0"},  # noqa: S104 -- nobody listens, somebody asks
    {"host": "[::2]"},
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "file://"},
    {"origin": "http://localhost:1"},
    {"origin": "https://127.0.0.1"},
    {"origin": ""},
    {"forwarded": "for=127.0.0.1"},
    {"x-forwarded-for": "127.0.0.1"},
    {"x-forwarded-host": "localhost"},
    {"x-forwarded-proto": "https"},
    {"x-real-ip": "127.0.0.1"},
    {"via": "1.1 proxy"},
    {"cf-connecting-ip": "127.0.0.1"},
]


async def test_without_any_key_foreign_hosts_origins_and_proxies_are_refused_everywhere(gateway: Gateway) -> None:
    for method, path, _ in routes(gateway):
        for headers in FOREIGN:
            if method == "WS" and "host" in headers:
                continue
            assert await status_of(gateway, method, path, headers) in {400, 403}, (method, path, headers)


async def test_without_any_key_a_websocket_for_a_foreign_host_is_refused(gateway: Gateway) -> None:
    for path in ("/v1/stream", "/v1/chat/lobby"):
        opened = connect(f"ws://evil.example:{gateway.port}{path}", host="127.0.0.1", port=gateway.port)
        with pytest.raises(InvalidStatus) as refused:
            await opened.__aenter__()
        assert refused.value.response.status_code == 403
        assert b"about:blank" in (refused.value.response.body or b"")


async def test_this_machines_own_names_and_origins_are_welcome(gateway: Gateway) -> None:
    for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "[::1]"):
        address = f"{host}:{gateway.port}"
        headers = {"host": address, "origin": f"http://{address}"}
        assert (await gateway.http.get("/v1/decisions", headers=headers)).status_code == 200


async def test_with_keys_a_foreign_origin_is_refused_on_every_unsafe_route(keyed: Gateway) -> None:
    for method, path, _ in routes(keyed):
        if method in {"POST", "DELETE", "WS"}:
            headers = keyed.bearer(Role.ADMIN) | {"origin": "https://evil.example"}
            assert await status_of(keyed, method, path, headers) == 403, (method, path)


async def test_an_origin_that_the_operator_names_may_call(tmp_path: Path) -> None:
    settings = Settings(server=ServerSettings(origins=("https://chat.example.org",)))
    async with gateway_on(tmp_path, settings) as gateway:
        origin = {"origin": "https://chat.example.org"}
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        preflight = await gateway.http.options("/run", headers=origin | asked)
        assert preflight.headers["access-control-allow-origin"] == "https://chat.example.org"
        answer = await gateway.http.post("/run", json={"messages": [message("1")]}, headers=origin)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://chat.example.org"
        async with gateway.connect("/v1/chat/lobby", origin="https://chat.example.org") as window:
            assert await receive(window, "history")


async def test_rooms_and_figures_need_a_key_from_elsewhere_once_there_is_one(keyed: Gateway) -> None:
    for headers in ({"x-forwarded-for": "203.0.113.9"}, {"host": "chat.example.org"}):
        for path in ("/metrics", "/v1/live", "/v1/live/events"):
            assert await status_of(keyed, "GET", path, headers) == 401, path
            assert await status_of(keyed, "GET", path, headers | keyed.bearer(Role.CLIENT)) == 200, path
        for path in ("/", "/chat", "/chat/chat.js", "/client.js", "/widget.js"):  # they hold nothing secret
            assert await status_of(keyed, "GET", path, headers) in {200, 307}, path
    assert await status_of(keyed, "WS", "/v1/chat/lobby", {"x-forwarded-for": "203.0.113.9"}) == 401


async def test_a_trusted_proxy_speaks_for_its_client(tmp_path: Path) -> None:
    settings = Settings(server=ServerSettings(trusted_proxies=("127.0.0.0/8", "10.0.0.7")))
    async with gateway_on(tmp_path, settings) as gateway:
        for chain, status in (
            ("127.0.0.1", 403),  # no address is left that is not a proxy's own
            ("203.0.113.9", 403),
            ("203.0.113.9, 10.0.0.7", 403),
            ("::1, 203.0.113.9", 403),
            ("203.0.113.9, ::1", 200),
            ("::1, 10.0.0.7", 200),
            ("", 403),
            ("nonsense", 403),
        ):
            answer = await gateway.http.get("/v1/decisions", headers={"x-forwarded-for": chain})
            assert answer.status_code == status, chain
        assert (await gateway.http.get("/v1/decisions", headers={"forwarded": "for=[::1]"})).status_code == 403


async def test_without_any_key_the_server_will_not_start_on_another_address(tmp_path: Path) -> None:
    async with gateway_on(tmp_path) as gateway:
        with socket.create_server(("0.0.0.0", 0)) as listener:  # noqa: S104 -- to be refused
            with pytest.raises(ConfigError, match="chat-moderator keys create"):
                require_key(gateway.app, listener)
            await gateway.make_keys()
            require_key(gateway.app, listener)


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("trusted_proxies", ["10.0.0.1", "proxy"], r"server.trusted_proxies\[1\]"),
        ("trusted_proxies", ["10.0.0.1/8"], r"server.trusted_proxies\[0\]"),
        ("origins", ["chat.example.org"], r"server.origins\[0\]"),
        ("origins", ["https://chat.example.org/"], r"server.origins\[0\]"),
        ("origins", ["*"], r"server.origins\[0\]"),
    ],
)
def test_addresses_that_are_none_are_refused_with_their_place(key: str, value: list[str], path: str) -> None:
    settings = msgspec.convert({key: value}, ServerSettings)
    with pytest.raises(ConfigError, match=path):
        Gate(KeyRing.__new__(KeyRing), settings)


def test_loopback_is_told_from_what_only_looks_like_it() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1")))
    assert not any(map(is_loopback, ("", "localhost", "0.0.0.0", "10.0.0.1", "::", "::ffff:10.0.0.1", "127.0.0.1.x")))  # noqa: S104


async def test_nothing_of_a_request_is_logged(keyed: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await keyed.post("/run", {"messages": [message("1", "canary-text")]}, **keyed.bearer(Role.CLIENT))
    await keyed.post("/v1/messages", {"messages": [message("1", "canary-text")]}, authorization="Bearer canary-token")
    assert "canary" not in caplog.text
    assert keyed.tokens[Role.CLIENT] not in caplog.text
