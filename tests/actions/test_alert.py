"""Alerts: bodies that Slack and Discord take, nobody pinged by a message's text."""

import msgspec
import pytest
from standardwebhooks import Webhook

from chat_moderator.actions.alert import AlertAction, Config, Format
from chat_moderator.testing.doubles import JournalEnforcer
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Verdict
from tests.servers.receiver import receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TEXT = "<!everyone> & @everyone you idiot"


async def body_of(format_: Format, text: str = TEXT) -> dict[str, object]:
    async with receiving() as receiver:
        action = AlertAction(Config(receiver.url, format_, SECRET))
        await action.perform(make_record(make_message(text, channel="lobby"), Verdict.HOLD), JournalEnforcer())
        await action.aclose()
        (delivery,) = receiver.deliveries
        Webhook(SECRET).verify(delivery.body, delivery.headers)
        decoded: dict[str, object] = msgspec.json.decode(delivery.body)
        return decoded


async def test_our_own_body_holds_the_whole_record() -> None:
    body = await body_of(Format.SIGNED)
    assert body["type"] == "alert"
    assert body["record"]["message"]["text"] == TEXT  # type: ignore[index]


async def test_slack_gets_escaped_text() -> None:
    body = await body_of(Format.SLACK)
    assert "&lt;!everyone&gt; &amp;" in str(body["text"])
    assert "<" not in str(body["text"])


async def test_discord_pings_nobody_and_fits() -> None:
    body = await body_of(Format.DISCORD, "x" * 5000)
    assert body["allowed_mentions"] == {"parse": []}
    assert len(str(body["content"])) <= 2000


@pytest.mark.parametrize("part", ["hold", "ada", "lobby", "test, 0.90"])
async def test_an_alert_says_what_who_where_and_why(part: str) -> None:
    assert part in str((await body_of(Format.SLACK))["text"])
