"""What is Twitch's own: one message a deletion, what AutoMod holds, sessions that move, tokens that run out."""

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.actions.hold import HoldAction
from chat_moderator.errors import ConfigError, PermanentError, RefusedError, TransientError
from chat_moderator.sources.commands import commanded
from chat_moderator.sources.twitch import Config, Twitch
from chat_moderator.sources.twitch_enforcer import TwitchEnforcer, alert_of
from chat_moderator.sources.twitch_setup import TwitchSetup
from chat_moderator.testing.doubles import JournalIntake
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.testing.sources import acting, connected, said
from chat_moderator.types import Author, Outcome, OutcomeState, Verdict, WebhookCall, now
from tests.servers.twitch import CLIENT_SECRET, SECRET, TwitchEvents, TwitchPlatform, signed, twitch_server

SETTINGS = {"client_id": "c", "client_secret": "s", "token": "t", "refresh_token": "r", "channels": "general"}


@pytest.fixture
async def twitch() -> AsyncIterator[TwitchPlatform]:
    async with twitch_server() as server:
        yield server


@pytest.mark.parametrize("identifier", ["", " ", "5", "held:", "all", "00000000"])
async def test_a_deletion_without_a_message_is_never_asked_for(twitch: TwitchPlatform, identifier: str) -> None:
    async with acting(twitch) as (enforcer, intake):
        message = await said(twitch, intake)
        with pytest.raises(PermanentError):
            await enforcer.delete(msgspec.structs.replace(message, id=identifier.removeprefix("held:")), reason="test")
        assert twitch.texts() == ["hello"]


@given(st.text(max_size=60) | st.uuids().map(str) | st.uuids().map(lambda each: each.hex))
def test_a_deletion_names_one_message_whatever_the_id_is(identifier: str) -> None:
    source, asked = Twitch(msgspec.convert(SETTINGS, Config)), Asked()
    source._api = asked  # type: ignore[assignment]  # where it would call Twitch
    message = make_message(id=identifier, channel="1", sent_at=now())
    with contextlib.suppress(PermanentError):
        asyncio.run(source.delete(message, reason="test"))
    assert all(UUID(call["message_id"]) for path, call in asked.calls if path == "/moderation/chat")


class Asked:
    """Stands for Twitch's Web API, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []

    async def me(self) -> str:
        return "1"

    async def call(self, _: str, path: str, query: dict[str, str] | None, *__: Any) -> dict[str, Any]:
        self.calls.append((path, query or {}))
        return {}


if TYPE_CHECKING:

    async def clears_a_chat(enforcer: TwitchEnforcer) -> None:
        """The type checker refuses each: an ignore that is not needed is an error of its own."""
        await enforcer._delete_message("1", "")  # type: ignore[arg-type]
        await enforcer._delete_message("1", None)  # type: ignore[arg-type]
        await enforcer._delete_message("1")  # type: ignore[call-arg]


def test_there_is_one_place_that_deletes() -> None:
    sources = Path(inspect.getfile(Twitch)).parent.glob("*.py")
    assert sum(source.read_text().count('"/moderation/chat"') for source in sources) == 1


async def test_what_is_too_old_to_delete_is_not_taken_for_gone(twitch: TwitchPlatform) -> None:
    async with acting(twitch) as (enforcer, _):
        old = make_message(id=str(uuid4()), channel="1", sent_at=now() - timedelta(hours=7))
        with pytest.raises(PermanentError, match="6 hours"):
            await enforcer.delete(old, reason="test")


async def test_automod_is_told_our_verdict(twitch: TwitchPlatform) -> None:
    async with acting(twitch) as (enforcer, intake):
        for text in ("let me through", "keep me out", "unsure"):
            await twitch.hold(text)
        await intake.texts(3)
        through, out, unsure = intake.messages
        assert through.id.startswith("held:")
        assert through.author.name == "ada"
        for _ in range(2):  # an uncertain answer is repeated
            await enforcer.release(through)
            await enforcer.delete(out, reason="test")
        await HoldAction().perform(make_record(unsure, Verdict.HOLD), enforcer)
        assert twitch.automod == [("ALLOW", "let me through"), ("DENY", "keep me out")]
        assert len(twitch.held_back) == 1
        await twitch.say("the last")
        assert (await intake.texts(4))[-1] == "the last"  # what was let through is not judged again
        with pytest.raises(PermanentError, match="deny"):
            await enforcer.undo(out, Outcome("delete", OutcomeState.DONE))


async def test_a_session_that_moves_loses_nothing(twitch: TwitchPlatform) -> None:
    async with connected(twitch) as (_, intake):
        await twitch.say("before")
        await intake.texts(1)
        await twitch.move(lambda: twitch.say("while it moves"))
        await intake.texts(2)
        await until(lambda: len(twitch.sockets) == 1)
        await twitch.say("after")
        assert await intake.texts(3) == ["before", "while it moves", "after"]
        assert intake.gaps == []
        assert intake.ups == 1


async def test_a_token_that_ran_out_is_renewed_once(twitch: TwitchPlatform) -> None:
    async with acting(twitch) as (enforcer, intake):
        messages = [await said(twitch, intake, f"message {number}") for number in range(5)]
        twitch.expire()
        await asyncio.gather(*(enforcer.delete(message, reason="test") for message in messages))
        assert twitch.texts() == []
        assert twitch.renewals == 1


async def test_a_refused_token_keeps_actions_for_later_and_is_not_asked_for_again(twitch: TwitchPlatform) -> None:
    async with acting(twitch) as (enforcer, intake):
        message = await said(twitch, intake)
        twitch.revoke()
        for _ in range(5):
            with pytest.raises(TransientError) as raised:
                await enforcer.delete(message, reason="test")
            assert raised.value.retry_after is not None
            assert twitch.settings["refresh_token"] not in str(raised.value)
        assert twitch.renewals == 1


async def test_a_missing_scope_is_named(twitch: TwitchPlatform) -> None:
    twitch.scopes.remove("moderator:manage:warnings")
    with pytest.raises(PermanentError, match="moderator:manage:warnings"):
        async with connected(twitch):
            pass


async def test_a_channel_that_cannot_be_read_leaves_the_others_alone(twitch: TwitchPlatform) -> None:
    twitch.unreadable.add("2")
    async with connected(twitch, channels="general, random,nosuch") as (_, intake):
        await twitch.say("hello")
        await intake.texts(1)
        assert "/mod" in intake.problems["channel random"]
        assert "nosuch" in intake.problems["channel nosuch"]
        await twitch.revoke_subscriptions("general", "moderator_removed")
        await twitch.say("among moderators", channel="moderators", author="mia")
        await until(lambda: "moderator_removed" in intake.problems.get("channel general", ""))


async def test_commands_count_only_from_moderators_and_only_among_them(twitch: TwitchPlatform) -> None:
    async with connected(twitch) as (_, intake):
        await twitch.say("!undo 1", author="eve", channel="moderators")
        await twitch.say("!undo 2", author="mia", roles=("moderator",))
        await twitch.say("!undo", author="mia", roles=("moderator",), channel="moderators")
        await twitch.say("!confirm 3", author="mia", roles=("broadcaster",), channel="moderators")
        await intake.until(lambda: bool(intake.resolved))
        assert [(seq, approve) for seq, approve, _ in intake.resolved] == [(3, False)]


@pytest.mark.parametrize("length", [timedelta(milliseconds=1), timedelta(days=28)])
async def test_timeouts_are_as_long_as_twitch_allows(twitch: TwitchPlatform, length: timedelta) -> None:
    async with acting(twitch) as (enforcer, intake):
        await enforcer.timeout(await said(twitch, intake), length=length, reason="r" * 2000)
        (seconds,) = twitch.banned.values()
        assert 1 <= seconds <= 14 * 86400
        await enforcer.undo(intake.messages[0], Outcome("timeout", OutcomeState.DONE))
        await enforcer.undo(intake.messages[0], Outcome("timeout", OutcomeState.DONE))
        assert twitch.banned == {}


@given(st.text(max_size=600), st.text(max_size=100), st.text(max_size=400))
def test_an_alert_fits_and_can_be_answered(text: str, name: str, rule: str) -> None:
    record = make_record(make_message(text, author=Author("1", name)), Verdict.BLOCK, rule=rule)
    alert = alert_of(msgspec.structs.replace(record, seq=10**17))
    assert len(alert) <= 500
    assert alert.endswith(f"!undo {10**17} or !confirm {10**17}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("!undo 7", (7, True)),
        (" !CONFIRM  8 ", (8, False)),
        ("!undo", None),
        ("undo 7", None),
        ("!undo 7 8", None),
        ("!undo -7", None),
        ("!undo \u0667", None),
        (f"!undo {10**18}", None),
    ],
)
def test_what_is_a_command(text: str, found: tuple[int, bool] | None) -> None:
    assert commanded(text) == found


def hooked(twitch: TwitchPlatform) -> Twitch:
    return Twitch(msgspec.convert(twitch.settings | TwitchEvents.settings, Config))


async def test_webhooks_are_taken_for_five_minutes_either_way(twitch: TwitchPlatform) -> None:
    source, intake, body, at = hooked(twitch), JournalIntake(), TwitchEvents().call(), now().replace(microsecond=0)
    for seconds in (-301, 301, -86_400, 86_400):
        with pytest.raises(RefusedError):
            await source.receive(WebhookCall(signed(body, at + timedelta(seconds=seconds)), body, at), intake)
    for timestamp in ("", "now", "1700000000", "2026-13-01T00:00:00Z", f"{at:%Y-%m-%dT%H:%M:%S}", "9" * 5000):
        headers = signed(body, at, timestamp=timestamp) | {"twitch-eventsub-message-timestamp": timestamp}
        with pytest.raises(RefusedError):
            await source.receive(WebhookCall(headers, body, at), intake)
    for header in ("id", "timestamp"):
        changed = signed(body, at)
        changed[f"twitch-eventsub-message-{header}"] += "0"
        with pytest.raises(RefusedError):
            await source.receive(WebhookCall(changed, body, at), intake)
    assert intake.messages == []
    for seconds in (-300, 0, 300):
        answer = await source.receive(WebhookCall(signed(body, at + timedelta(seconds=seconds)), body, at), intake)
        assert answer.status == 200
    assert [message.text for message in intake.messages] == ["bad"]
    await source.aclose()


async def test_a_new_subscription_is_confirmed_and_a_revocation_shown(twitch: TwitchPlatform) -> None:
    source, intake = hooked(twitch), JournalIntake()
    about = {"id": "1", "type": "channel.chat.message", "version": "1", "condition": {"broadcaster_user_id": "1"}}
    body = json.dumps({"challenge": "a-challenge", "subscription": about}).encode()
    headers = signed(body, now(), kind="webhook_callback_verification")
    answer = await source.receive(WebhookCall(headers, body, now()), intake)
    assert (answer.status, answer.body, answer.media) == (200, b"a-challenge", "text/plain")
    body = json.dumps({"subscription": about | {"status": "authorization_revoked"}}).encode()
    await source.receive(WebhookCall(signed(body, now(), kind="revocation"), body, now()), intake)
    assert "authorise" in intake.problems["channel 1"]
    await source.aclose()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"token": ""}, "token"),
        ({"client_id": "a b"}, "client_id"),
        ({"channels": []}, "channels"),
        ({"channels": " , "}, "channels"),
        ({"channels": "https://twitch.tv/ada"}, "channels"),
        ({"moderators_channel": "#mods"}, "moderators_channel"),
        ({"webhook": "http://chat.example.com", "webhook_secret": SECRET}, "webhook"),
        ({"webhook": "https://chat.example.com", "webhook_secret": "short"}, "webhook_secret"),
    ],
)
async def test_wrong_settings_are_refused_by_name(twitch: TwitchPlatform, settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Twitch(msgspec.convert(twitch.settings | settings, Config))
    assert raised.value.path == key


async def test_init_says_what_is_missing(twitch: TwitchPlatform) -> None:
    asked = ("client_id", "client_secret", "token", "refresh_token", "api", "id_api", "moderators_channel")
    answers = {key: str(twitch.settings[key]) for key in asked} | {"channels": "general,random"}
    assert await TwitchSetup().examine(answers) == []
    twitch.permitted = False
    missing = await TwitchSetup().examine(answers | {"channels": "general,nosuch"})
    assert ["nosuch" in missing[0].problem, "/mod moderator_bot" in missing[1].cure] == [True, True]
    twitch.scopes.remove("moderator:manage:automod")
    (scope,) = await TwitchSetup().examine(answers)
    assert "moderator:manage:automod" in scope.problem
    (other,) = await TwitchSetup().examine(answers | {"client_id": "other"})
    assert "another application" in other.problem
    (refused,) = await TwitchSetup().examine(answers | {"token": "x"})
    assert "refuses the token" in refused.problem
    assert CLIENT_SECRET not in str(missing)
    with pytest.raises(TransientError):
        await TwitchSetup().examine(answers | {"id_api": "http://127.0.0.1:9"})


async def until(holds: Any) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0)
