"""Incoming webhooks: what is signed by a secret of ours is taken in once; nothing else is."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from chat_moderator.config import Settings, WebhookSettings
from chat_moderator.errors import ConfigError
from chat_moderator.gateway.problems import ProblemError
from chat_moderator.gateway.signatures import Verifier
from chat_moderator.types import now
from tests.gateway.serving import Gateway, gateway_on, message

OLD, NEW, FOREIGN = ("whsec_" + base64.b64encode(bytes([number]) * 24).decode() for number in (1, 2, 3))
PATH = "/webhooks/generic"
BODY = json.dumps({"messages": [message("1"), message("2", "bad")]}).encode()
NOW = 1_800_000_000
AT = str(NOW)


@pytest.fixture
async def hooked(tmp_path: Path) -> AsyncIterator[Gateway]:
    settings = Settings(webhooks=WebhookSettings(secrets=(OLD, NEW)))
    async with gateway_on(tmp_path, settings) as gateway:
        yield gateway


def signed(body: bytes, secret: str = NEW, identifier: str = "msg_1") -> dict[str, str]:
    at = now()
    return {
        "content-type": "application/json",
        "webhook-id": identifier,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(identifier, at, body.decode()),
    }


async def deliver(gateway: Gateway, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return await gateway.http.post(PATH, content=body, headers=sent)


async def test_a_delivery_signed_by_any_of_the_secrets_is_taken_in(hooked: Gateway) -> None:
    for number, secret in enumerate((OLD, NEW)):
        body = json.dumps({"messages": [message(str(number))]}).encode()
        answer = await deliver(hooked, body, signed(body, secret, f"msg_{number}"))
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "duplicates": 0})
    page = await hooked.http.get("/v1/decisions", params={"client": "webhook", "wait": 5})
    assert page.json()["decisions"][0]["client"] == "webhook"


async def test_a_delivery_that_comes_again_is_taken_once(hooked: Gateway) -> None:
    headers = signed(BODY)
    answers = [await deliver(hooked, BODY, headers) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [202] * 5
    assert sum(answer.json()["accepted"] for answer in answers) == 2
    other = json.dumps({"messages": [message("new")]}).encode()
    replayed = await deliver(hooked, other, signed(other))
    assert (replayed.status_code, replayed.json()["accepted"]) == (202, 0)


async def test_a_delivery_that_was_refused_may_come_again_corrected(hooked: Gateway) -> None:
    await deliver(hooked, BODY, signed(BODY))
    conflicting = json.dumps({"messages": [message("3"), message("1", "other")]}).encode()
    assert (await deliver(hooked, conflicting, signed(conflicting, identifier="msg_2"))).status_code == 409
    corrected = json.dumps({"messages": [message("3")]}).encode()
    assert (await deliver(hooked, corrected, signed(corrected, identifier="msg_2"))).json()["accepted"] == 1


async def test_without_a_secret_webhooks_are_off(gateway: Gateway) -> None:
    answer = await deliver(gateway, BODY, signed(BODY))
    assert answer.status_code == 404
    assert "webhooks.secrets" in answer.json()["detail"]


async def test_nothing_that_is_not_signed_as_it_must_be_is_taken_in(hooked: Gateway) -> None:
    good = signed(BODY)
    signature, identifier, timestamp = good["webhook-signature"], good["webhook-id"], good["webhook-timestamp"]
    reserialised = json.dumps(json.loads(BODY), indent=1).encode()
    bare = signature.removeprefix("v1,")
    hexadecimal = base64.b64decode(bare).hex()
    changes: dict[str, dict[str, str | None]] = {
        "no signature": {"webhook-signature": None},
        "no id": {"webhook-id": None},
        "no timestamp": {"webhook-timestamp": None},
        "empty signature": {"webhook-signature": ""},
        "empty id": {"webhook-id": ""},
        "empty timestamp": {"webhook-timestamp": ""},
        "another key": {"webhook-signature": signed(BODY, FOREIGN)["webhook-signature"]},
        "several other keys": {"webhook-signature": " ".join([signed(BODY, FOREIGN)["webhook-signature"]] * 3)},
        "no version": {"webhook-signature": bare},
        "version 0": {"webhook-signature": f"v0,{bare}"},
        "version 1a": {"webhook-signature": f"v1a,{bare}"},
        "upper version": {"webhook-signature": f"V1,{bare}"},
        "hexadecimal": {"webhook-signature": f"v1,{hexadecimal}"},
        "cut": {"webhook-signature": signature[:-2]},
        "lengthened": {"webhook-signature": f"{signature}AA"},
        "another case": {"webhook-signature": signature.swapcase()},
        "separated by commas": {"webhook-signature": f"v1,x,{signature}"},
        "only a version": {"webhook-signature": "v1,"},
        "beyond ASCII": {"webhook-signature": "v1,\u00ff\u00fe"},
        "of another body": {"webhook-signature": signed(b"{}")["webhook-signature"]},
        "another id": {"webhook-id": "msg_2"},
        "id with a dot": {"webhook-id": f"{identifier}.{timestamp}"},
        "long id": {"webhook-id": "x" * 257},
        "another timestamp": {"webhook-timestamp": str(int(timestamp) - 1)},
        "fractional timestamp": {"webhook-timestamp": f"{timestamp}.0"},
        "signed timestamp": {"webhook-timestamp": f"+{timestamp}"},
        "negative timestamp": {"webhook-timestamp": f"-{timestamp}"},
        "timestamp in words": {"webhook-timestamp": "now"},
        "timestamp NaN": {"webhook-timestamp": "nan"},
        "endless timestamp": {"webhook-timestamp": "9" * 5000},
        "milliseconds": {"webhook-timestamp": f"{timestamp}000"},
    }
    for name, change in changes.items():
        headers = {key: value for key, value in (good | change).items() if value is not None}
        answer = await deliver(hooked, BODY, headers)
        assert answer.status_code == 401, name
        assert answer.headers["www-authenticate"] == "StandardWebhooks"
    for name, body in {"re-serialised": reserialised, "one byte more": BODY + b" ", "none": b""}.items():
        assert (await deliver(hooked, body, good)).status_code == 401, name
    for name, media in {"text": "text/plain", "form": "application/x-www-form-urlencoded", "nothing": ""}.items():
        assert (await deliver(hooked, BODY, good | {"content-type": media})).status_code == 415, name
    large = b" " * (1024 * 1024 + 1)
    assert (await deliver(hooked, large, signed(large))).status_code == 413
    for name, malformed in {
        "no JSON": b"x",
        "empty": b"{}",
        "NUL": b'{"messages":[{"id":"1","text":"\\u0000"}]}',
    }.items():
        assert (await deliver(hooked, malformed, signed(malformed))).status_code == 400, name
    assert await hooked.waiting() == 0
    assert (await deliver(hooked, BODY, good)).json()["accepted"] == 2


def signed_at(offset: int) -> dict[bytes, bytes]:
    at = str(NOW + offset)
    content = b"id." + at.encode() + b"." + BODY
    key = base64.b64decode(NEW.removeprefix("whsec_"))
    signature = b"v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256))
    return {b"webhook-id": b"id", b"webhook-timestamp": at.encode(), b"webhook-signature": signature}


def test_the_window_is_five_minutes_either_way() -> None:
    verifier = Verifier(WebhookSettings(secrets=(NEW,)), clock=lambda: float(NOW))
    for offset in (-300, -1, 0, 299, 300):
        assert verifier.verify(signed_at(offset), BODY) == "id"
    for offset in (-301, 301, -86_400, 86_400):
        with pytest.raises(ProblemError, match="300 seconds"):
            verifier.verify(signed_at(offset), BODY)


def test_one_good_signature_among_others_is_enough() -> None:
    verifier = Verifier(WebhookSettings(secrets=(OLD, NEW)), clock=lambda: float(NOW))
    headers = signed_at(0)
    headers[b"webhook-signature"] = b"v1,AAAA v2,BBBB " + headers[b"webhook-signature"]
    assert verifier.verify(headers, BODY) == "id"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", "secret", "\u00e9"])
def test_a_secret_that_is_none_is_refused_with_its_place(secret: str) -> None:
    with pytest.raises(ConfigError, match=r"webhooks.secrets\[1\]"):
        Verifier(WebhookSettings(secrets=(NEW, secret)))
