"""Slack where it is hard: what events hold, what only an admin may do, calls that are none."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from chat_moderator.errors import ConfigError, PermanentError, RefusedError
from chat_moderator.sources.slack import Config, Slack
from chat_moderator.testing.doubles import JournalIntake
from chat_moderator.testing.sources import acting, connected, said
from chat_moderator.types import Outcome, OutcomeState, WebhookCall, now
from tests.servers.slack import BOT, SECRET, TEAM, SlackPlatform, press_of, signed, slack_server


@pytest.fixture
async def slack() -> AsyncIterator[SlackPlatform]:
    async with slack_server() as server:
        yield server


async def test_the_challenge_of_a_new_address_is_answered() -> None:
    source = Slack(Config(token="x", signing_secret=SECRET))
    body = b'{"type":"url_verification","token":"t","challenge":"3eZbrw1aB"}'
    answer = await source.receive(WebhookCall(signed(body, now()), body, now()), JournalIntake())
    assert (answer.status, answer.body) == (200, b'{"challenge":"3eZbrw1aB"}')
    with pytest.raises(RefusedError):
        await source.receive(WebhookCall(signed(body, now(), secret="other"), body, now()), JournalIntake())
    await source.aclose()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("hello <@U0001> and <!channel>", "hello @U0001 and @channel"),
        ("<@U0001|ada> in <#C1|general>", "@ada in #general"),
        ("<https://a.example|click> <https://b.example>", "click (https://a.example) https://b.example"),
        ("a &lt; b &amp;&amp; c &gt; d", "a < b && c > d"),
        ("&amp;lt;", "&lt;"),
    ],
)
async def test_a_text_is_read_as_people_read_it(slack: SlackPlatform, written: str, read: str) -> None:
    async with connected(slack) as (_, intake):
        event = {"type": "message", "channel": "C1GENERAL", "user": slack.user("ada"), "text": written}
        await slack.event(event | {"ts": "1700000000.000100"})
        assert await intake.texts(1) == [read]


async def test_what_slack_says_itself_is_passed_over(slack: SlackPlatform) -> None:
    async with connected(slack) as (_, intake):
        for subtype in ("channel_join", "channel_topic", "channel_name", "reminder_add", "message_deleted"):
            await slack.say(f"you idiot by {subtype}", subtype=subtype)
        unfurled = {"type": "message", "user": "U1", "text": "with a preview", "ts": "1700000000.000100"}
        await slack.event(
            {
                "type": "message",
                "subtype": "message_changed",
                "channel": "C1GENERAL",
                "ts": "1700000001.0",
                "message": unfurled,
            }
        )
        await slack.event({"type": "reaction_added", "user": "U1", "item": {"type": "message"}})
        for subtype in ("thread_broadcast", "file_share", "me_message"):
            await slack.say(f"said by {subtype}", subtype=subtype)
        assert await intake.texts(3) == [f"said by {kind}" for kind in ("thread_broadcast", "file_share", "me_message")]


async def test_a_channel_that_removed_the_bot_is_named_until_it_is_read_again(slack: SlackPlatform) -> None:
    async with connected(slack) as (_, intake):
        for kind in ("channel_left", "group_left"):
            await slack.event({"type": kind, "channel": "C1GENERAL", "event_ts": slack.ts()})
            assert "C1GENERAL" in intake.problems["channel C1GENERAL"]
            assert "/invite" in intake.problems["channel C1GENERAL"]
            await said(slack, intake)
            assert intake.problems["channel C1GENERAL"] == ""


async def test_a_channel_whose_history_is_refused_is_a_gap_and_the_others_are_read(slack: SlackPlatform) -> None:
    intake = JournalIntake("slack")
    async with connected(slack, intake):
        await said(slack, intake)
    slack.unreadable.add("C1GENERAL")
    await slack.say("missed")
    await slack.say("read", channel="random")
    slack.pending.clear()
    slack.busy = 2  # answers of the Web API that ask to wait
    async with connected(slack, intake):
        assert await intake.texts(2) == ["hello", "read"]
        (gap,) = intake.gaps
        assert "C1GENERAL" in gap


async def test_without_an_admins_token_deleting_says_what_it_needs(slack: SlackPlatform) -> None:
    async with connected(slack, user_token="") as (source, intake):
        message = await said(slack, intake)
        assert isinstance(source, Slack)
        with pytest.raises(PermanentError, match="an admin's token with chat:write"):
            await source.delete(message, reason="test")
        with pytest.raises(PermanentError, match="cannot be taken back"):
            await source.undo(message, Outcome("timeout", OutcomeState.DONE))


async def test_two_edits_within_a_second_are_two_revisions(slack: SlackPlatform) -> None:
    async with connected(slack) as (_, intake):
        identifier = await slack.say("one")
        for text in ("two", "three", "four"):
            await slack.edit(identifier, text)
        assert await intake.texts(4) == ["one", "two", "three", "four"]
        assert len({message.revision for message in intake.messages}) == 4


async def test_a_reply_in_a_thread_stays_there(slack: SlackPlatform) -> None:
    async with acting(slack) as (enforcer, intake):
        first = await slack.say("first")
        await slack.say("in the thread", reply_to=first)
        await intake.texts(2)
        await enforcer.reply(intake.messages[1], text="no <!channel>")
        assert slack.ephemeral[0]["thread_ts"] == first
        assert slack.ephemeral[0]["text"] == "no &lt;!channel&gt;"


async def test_a_press_elsewhere_or_of_another_button_changes_nothing(slack: SlackPlatform) -> None:
    alert: dict[str, Any] = {"ts": "1.0", "text": "", "blocks": []}
    good = {"action_id": "chat-moderator:approve", "value": "1"}
    async with connected(slack) as (source, intake):
        assert isinstance(source, Slack)
        for action, channel in (
            (good, "C1GENERAL"),
            (good | {"value": "x"}, "C3MODS"),
            (good | {"action_id": "other"}, "C3MODS"),
            ({}, "C3MODS"),
        ):
            body = press_of(action, channel, alert)
            headers = signed(body, now(), media="application/x-www-form-urlencoded")
            with pytest.raises(PermanentError):
                await source.receive(WebhookCall(headers, body, now()), intake)
        assert intake.resolved == []


async def test_its_own_account_is_known_before_it_runs(slack: SlackPlatform) -> None:
    """As in a function, which is only ever called."""
    source, intake = (
        Slack(Config(token=slack.token, signing_secret=SECRET, api=slack.url, ignore_bots=False)),
        JournalIntake(),
    )
    event = {"type": "message", "channel": "C1GENERAL", "user": BOT, "text": "mine", "ts": "1700000000.000100"}
    envelope = {"type": "event_callback", "team_id": TEAM, "event_id": "Ev1", "event": event}
    body = msgspec.json.encode(envelope | {"authorizations": [{"user_id": BOT}]})
    await source.receive(WebhookCall(signed(body, now()), body, now()), intake)
    assert intake.messages == []
    await source.aclose()


@pytest.mark.parametrize("missing", ["token", "signing_secret"])
def test_an_empty_secret_is_refused(missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        Slack(msgspec.convert({"token": "x", "signing_secret": "y"} | {missing: ""}, Config))
