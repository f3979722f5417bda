"""Outgoing webhooks: signed so that a receiver can check them, repeated under the same id, never given up."""

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
from standardwebhooks import Webhook

from chat_moderator.errors import ConfigError, TransientError
from chat_moderator.sinks.webhook import Config, WebhookSink
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Record, Verdict
from tests.servers.receiver import Receiver, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


def record(seq: int, verdict: Verdict = Verdict.ALLOW, **fields: str) -> Record:
    return msgspec.structs.replace(make_record(make_message(**fields), verdict), seq=seq)


async def test_a_receiver_can_check_the_signature(receiver: Receiver) -> None:
    sink = WebhookSink(Config(receiver.url, SECRET))
    await sink.write([record(1)])
    (delivery,) = receiver.deliveries
    Webhook(SECRET).verify(delivery.body, delivery.headers)
    await sink.aclose()


async def test_a_batch_that_comes_again_has_the_same_id(receiver: Receiver) -> None:
    sink = WebhookSink(Config(receiver.url, SECRET))
    receiver.answers = [(503, {})]
    with pytest.raises(TransientError, match="answered 503"):
        await sink.write([record(3), record(4)])
    await sink.write([record(3), record(4)])
    first, second = receiver.deliveries
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "decisions_3_4"
    await sink.aclose()


@pytest.mark.parametrize("status", [301, 400, 404, 410, 429, 500])
async def test_decisions_are_never_dropped(receiver: Receiver, status: int) -> None:
    sink = WebhookSink(Config(receiver.url))
    receiver.answers = [(status, {"retry-after": "7", "location": receiver.url})]
    with pytest.raises(TransientError) as caught:
        await sink.write([record(1)])
    assert len(receiver.deliveries) == 1, "redirects are not followed"
    if status in {429, 500}:
        assert caught.value.retry_after == timedelta(seconds=7)
    await sink.aclose()


async def test_nobody_there_is_tried_again() -> None:
    sink = WebhookSink(Config("http://127.0.0.1:1/"))
    with pytest.raises(TransientError, match="ConnectError"):
        await sink.write([record(1)])
    await sink.aclose()


async def test_only_what_was_asked_for_is_sent(receiver: Receiver) -> None:
    sink = WebhookSink(Config(receiver.url, client="a", flagged_only=True))
    await sink.write([record(1, client="a"), record(2, Verdict.BLOCK, client="b")])
    assert receiver.deliveries == []
    await sink.write([record(3, Verdict.HOLD, client="a"), record(4, client="a")])
    (delivery,) = receiver.deliveries
    assert [each["seq"] for each in msgspec.json.decode(delivery.body)["records"]] == [3]
    await sink.aclose()


@pytest.mark.parametrize(("url", "secret"), [("ftp://x", ""), ("", ""), ("https://x", "not a secret!")])
def test_an_address_or_secret_that_cannot_be_used_is_named(url: str, secret: str) -> None:
    with pytest.raises(ConfigError, match=r"sinks\.(url|secret)"):
        WebhookSink(Config(url, secret))
