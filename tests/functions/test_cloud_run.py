"""The function on Cloud Run: the real process, Pub/Sub's push bodies, tokens of an issuer on loopback."""

import base64
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from chat_moderator.queues.envelope import Envelope, sealed
from chat_moderator.testing.factories import make_message
from tests.functions.decisions import Decisions, collecting
from tests.running import free_port
from tests.servers.process import ServerProcess

RECIPE = Path(__file__).parents[2] / "deploy" / "cloud-run"
AUDIENCE = "https://chat-moderator-1.europe-west1.run.app/pubsub"
ACCOUNT = "chat-moderator-push@project.iam.gserviceaccount.com"
ISSUER = "https://accounts.google.com"
TOKEN = "run-token"
BODY = {"messages": [{"id": "1", "text": "Hello!"}, {"id": "2", "text": "Fuck"}]}


class Issuer:
    """Signs tokens and serves its keys; `down` answers 503."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.stranger = rsa.generate_private_key(65537, 2048)
        self.down = False
        self.url = ""

    def keys(self) -> bytes:
        own = json.loads(RSAAlgorithm.to_jwk(self.key.public_key())) | {"kid": "k1", "use": "sig", "alg": "RS256"}
        return json.dumps({"keys": [own]}).encode()

    def token(self, *, key: Any = None, kid: str = "k1", algorithm: str = "RS256", **claims: Any) -> str:
        now = int(time.time())
        usual = {"iss": ISSUER, "aud": AUDIENCE, "email": ACCOUNT, "email_verified": True, "iat": now, "exp": now + 600}
        told = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(told, key or self.key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if made.down else 200)
            self.end_headers()
            self.wfile.write(made.keys())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/certs"
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def decisions() -> Iterator[Decisions]:
    with collecting() as collected:
        yield collected


class Service:
    """The deployed process, and a client of it."""

    def __init__(self, folder: Path, environment: dict[str, str], **files: str) -> None:
        for name, text in files.items():
            (folder / f"{name}.toml").write_text(text)
        port = free_port()
        command = [sys.executable, "-m", "chat_moderator.functions.cloud_run"]
        own = {"PORT": str(port), "CHAT_MODERATOR_CONFIG": str(folder / "moderator.toml")}
        self.process = ServerProcess(command, port, folder / "log", environment=os.environ | own | environment)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def push(self, body: Any, token: str | None) -> int:
        headers = {"authorization": f"Bearer {token}"} if token is not None else {}
        return self.client.post("/pubsub", json=body, headers=headers).status_code

    def stop(self) -> None:
        self.client.close()
        self.process.stop(signal.SIGTERM)


@pytest.fixture(scope="module")
def service(issuer: Issuer, decisions: Decisions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = (RECIPE / "moderator.toml").read_text() + f'\nkeys = "{issuer.url}"\n'
    environment = {
        "DECISIONS_URL": decisions.url,
        "DECISIONS_SECRET": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
        "RUN_TOKEN": TOKEN,
        "PUSH_AUDIENCE": AUDIENCE,
        "PUSH_SERVICE_ACCOUNT": ACCOUNT,
    }
    started = Service(tmp_path_factory.mktemp("run"), environment, moderator=settings)
    yield started
    started.stop()


def pushed(data: bytes, **more: Any) -> dict[str, Any]:
    message = {
        "data": base64.b64encode(data).decode(),
        "attributes": {},
        "messageId": "136969346945",
        "message_id": "136969346945",
        "publishTime": "2026-11-01T12:00:00.123Z",
        "publish_time": "2026-11-01T12:00:00.123Z",
        "orderingKey": "7",
    }
    return {"message": message, "subscription": "projects/project/subscriptions/chat-moderator-push"} | more


def envelope(*names: str) -> bytes:
    return sealed(Envelope(tuple(make_message(id=name, text="you idiot") for name in names))).data


def test_a_push_is_decided_and_acknowledged(service: Service, issuer: Issuer, decisions: Decisions) -> None:
    assert service.push(pushed(envelope("1", "2"), deliveryAttempt=3), issuer.token()) == 204
    found = decisions.records[-2:]
    assert [each.message.id for each in found] == ["1", "2"]
    assert {each.decision.verdict for each in found} == {"block"}
    assert {each.attempts for each in found} == {3}
    assert {each.received_at.isoformat() for each in found} == {"2026-11-01T12:00:00.123000+00:00"}


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example.org"},
        {"aud": None},
        {"iss": "https://evil.example.org"},
        {"iss": None},
        {"email": "other@project.iam.gserviceaccount.com"},
        {"email": None},
        {"email_verified": False},
        {"email_verified": "true"},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iat": None},
        {"iat": 4_000_000_000},
        {"kid": "unknown"},
        {"key": "stranger"},
        {"key": "0123456789abcdef0123456789abcdef", "algorithm": "HS256"},
    ],
    ids=str,
)
def test_a_push_that_nobody_signed_for_us_is_refused(
    service: Service, issuer: Issuer, decisions: Decisions, claims: dict[str, Any]
) -> None:
    before = len(decisions.records)
    claims = claims | ({"key": issuer.stranger} if claims.get("key") == "stranger" else {})
    assert service.push(pushed(envelope("x")), issuer.token(**claims)) == 401
    assert len(decisions.records) == before


@pytest.mark.parametrize("token", [None, "x", "a.b.c", "ü", TOKEN, "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_token_is_refused(service: Service, token: str | None) -> None:
    headers = {} if token is None else {b"authorization": f"Bearer {token}".encode()}
    answer = service.client.post("/pubsub", json=pushed(envelope("x")), headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"message": {}},
        {"message": {"messageId": "1", "publishTime": "2026-11-01T12:00:00Z"}},
        pushed(b"no json"),
        pushed(b"{}"),
        pushed(envelope("x")) | {"deliveryAttempt": "many"},
        {"message": {"messageId": "1", "publishTime": "2026-11-01T12:00:00Z", "data": "not base64"}},
    ],
    ids=range(9),
)
def test_a_push_of_something_else_is_not_acknowledged(service: Service, issuer: Issuer, body: Any) -> None:
    assert service.push(body, issuer.token()) == 400


def test_while_the_sink_is_away_pushes_come_again(service: Service, issuer: Issuer, decisions: Decisions) -> None:
    decisions.refuse = 1
    assert service.push(pushed(envelope("again")), issuer.token()) == 503
    assert service.push(pushed(envelope("again")), issuer.token()) == 204


def test_plain_http_answers_whoever_has_the_token(service: Service) -> None:
    answer = service.client.post("/run", json=BODY, headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert [each["action"] for each in answer.json()["results"]] == ["allow", "block"]
    assert answer.json()["audited"] is False


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"method": "POST", "url": "/run", "json": BODY}, 401),
        ({"method": "POST", "url": "/run", "content": b"{", "headers": {"authorization": f"Bearer {TOKEN}"}}, 400),
        (
            {
                "method": "POST",
                "url": "/run",
                "content": b" " * 3_000_000,
                "headers": {"authorization": f"Bearer {TOKEN}"},
            },
            413,
        ),
        ({"method": "GET", "url": "/run"}, 404),
        ({"method": "GET", "url": "/healthz"}, 200),
    ],
    ids=range(5),
)
def test_other_calls_say_what_is_wrong(service: Service, request_: dict[str, Any], status: int) -> None:
    assert service.client.request(**request_).status_code == status


def test_while_the_keys_cannot_be_fetched_pushes_come_again(
    issuer: Issuer, decisions: Decisions, tmp_path: Path
) -> None:
    settings = f"""
        [[sinks]]
        type = "webhook"
        url = "{decisions.url}"
        [functions.cloud_run]
        audience = "{AUDIENCE}"
        service_account = "{ACCOUNT}"
        keys = "{issuer.url}"
    """
    service = Service(tmp_path, {}, moderator=settings)
    try:
        issuer.down = True
        assert service.push(pushed(envelope("x")), issuer.token()) == 503
        issuer.down = False
        assert service.push(pushed(envelope("x")), issuer.token()) == 204
    finally:
        issuer.down = False
        service.stop()


def test_nothing_is_let_in_that_is_not_configured(issuer: Issuer, tmp_path: Path) -> None:
    service = Service(tmp_path, {}, moderator="")
    try:
        assert service.push(pushed(envelope("x")), issuer.token()) == 401
        assert service.client.post("/run", json=BODY, headers={"authorization": "Bearer x"}).status_code == 401
    finally:
        service.stop()
