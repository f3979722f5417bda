"""Discord where it is hard: limits of every form, a burst, a revoked token, threads, lost sessions, odd events."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.errors import ConfigError, PermanentError, TransientError
from chat_moderator.sources.discord import Config, Discord
from chat_moderator.sources.discord_alerts import LIMIT, alert_of, answered, escaped, pressed
from chat_moderator.sources.discord_limits import MOST_INVALID, DiscordLimits, retry_after
from chat_moderator.testing.doubles import JournalIntake
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.testing.sources import acting, connected, patiently, said
from chat_moderator.types import Author, Verdict
from tests.servers.discord import GUILD, DiscordPlatform, Failure, discord_server


@pytest.fixture
async def discord() -> AsyncIterator[DiscordPlatform]:
    async with discord_server() as server:
        yield server


@pytest.mark.parametrize(
    ("scope", "via", "date"),
    [
        ("user", True, False),
        ("user", True, True),
        ("shared", True, False),
        ("global", True, False),
        ("user", False, False),
        ("user", False, True),
    ],
)
async def test_nothing_is_called_before_its_time(discord: DiscordPlatform, scope: str, via: bool, date: bool) -> None:
    async with acting(discord) as (enforcer, intake):
        first = await said(discord, intake)
        second = await said(discord, intake)
        await enforcer.reply(first, text="logs in")
        discord.failures.append(Failure(429, 0.5, scope=scope, via=via, date=date))
        calls = [
            patiently(lambda: enforcer.delete(first, reason="a")),
            patiently(lambda: enforcer.delete(second, reason="b")),
        ]
        await asyncio.gather(*calls)
        assert discord.texts() == []
        assert discord.early == []


@pytest.mark.parametrize(("value", "seconds"), [("3", 3.0), ("0.25", 0.25), ("-1", 0.0)])
def test_retry_after_in_seconds(value: str, seconds: float) -> None:
    assert retry_after(value) == timedelta(seconds=seconds)


def test_retry_after_as_a_date_and_as_nothing() -> None:
    at = datetime.now(UTC) + timedelta(seconds=30)
    found = retry_after(at.strftime("%a, %d %b %Y %H:%M:%S GMT"))
    assert found is not None
    assert 25 < found.total_seconds() <= 30
    assert [retry_after(text) for text in ("", "soon", "nan-ish", "1e400")] == [None] * 4


def test_after_too_many_invalid_requests_all_calls_wait() -> None:
    at = 1000.0
    limits = DiscordLimits(lambda: at)
    for _ in range(MOST_INVALID):
        assert limits.wait("GET", "/x") == 0.0
        limits.answered("GET", "/x", 403, {})
    assert limits.wait("GET", "/y") == 600.0
    at = 1600.0
    assert limits.wait("GET", "/y") == 0.0


async def test_a_burst_is_deleted_in_bulk_within_the_limits(discord: DiscordPlatform) -> None:
    """2,000 messages, a fifth of them to delete, five calls a bucket and second."""
    discord.bucket = (5, 0.5)
    async with acting(discord) as (enforcer, intake):
        for number in range(2000):
            await discord.say(f"message {number}", channel=("general", "random")[number % 2])
        await intake.until(lambda: len(intake.messages) == 2000, seconds=50)
        wanted = intake.messages[::5]
        await asyncio.gather(*(patiently(lambda m=m: enforcer.delete(m, reason="test")) for m in wanted))  # type: ignore[misc]
        left = discord.texts() + discord.texts("random")
        assert len(left) == 1600
        assert not {message.text for message in wanted} & set(left)
        assert discord.early == []
        assert len(discord.invalid) <= 20
        assert len([call for call in discord.calls if call[1] in {"DELETE", "POST"}]) < 60


async def test_a_lone_deletion_leaves_at_once(discord: DiscordPlatform) -> None:
    async with acting(discord) as (enforcer, intake):
        await enforcer.reply(await said(discord, intake), text="logs in")
        message = await said(discord, intake)
        await enforcer.delete(message, reason="test")
        deletions = [call for call in discord.calls if call[1] == "DELETE"]
        assert len(deletions) == 1


async def test_an_old_message_is_never_in_a_bulk(discord: DiscordPlatform) -> None:
    async with acting(discord) as (enforcer, intake):
        ages = (0, 13, 13.95, 13.97, 13.999, 14, 14.001, 15, 400, *(number / 10 for number in range(280)))
        for days in ages:
            await discord.say(f"{days} days old", at=datetime.now(UTC) - timedelta(days=days))
        await intake.texts(len(ages))
        twice = [*intake.messages, *intake.messages]
        await asyncio.gather(*(enforcer.delete(message, reason="test") for message in twice))
        assert discord.texts() == []
        assert max(Counter(discord.deletions).values()) == 1


async def test_a_revoked_token_ends_in_few_invalid_requests(discord: DiscordPlatform) -> None:
    async with acting(discord) as (enforcer, intake):
        messages = [await said(discord, intake) for _ in range(20)]
        discord.revoke()
        for _ in range(50):
            for message in messages:
                with pytest.raises(TransientError) as raised:
                    await enforcer.delete(message, reason="test")
                assert raised.value.retry_after is not None
        assert len(discord.invalid) <= 20


async def test_a_timeout_is_cut_to_what_discord_takes(discord: DiscordPlatform) -> None:
    async with acting(discord) as (enforcer, intake):
        await enforcer.timeout(await said(discord, intake), length=timedelta(days=100), reason="test")
        assert discord.timed_out() == ["ada"]


async def test_a_lost_session_is_read_from_history(discord: DiscordPlatform) -> None:
    async with connected(discord) as (_, intake):
        await discord.say("before")
        await intake.texts(1)
        discord.lost_sessions = True
        ups = intake.ups
        await discord.drop()
        await discord.say("meanwhile")
        await discord.say("meanwhile, elsewhere", channel="random")
        await intake.until(lambda: intake.ups > ups)
        await intake.until(lambda: len(intake.messages) == 3)
        assert {message.text for message in intake.messages} == {"before", "meanwhile", "meanwhile, elsewhere"}


async def test_a_message_in_a_thread_counts_as_its_channels(discord: DiscordPlatform) -> None:
    async with connected(discord, exempt_channels=["random"]) as (enforcer, intake):
        await discord.start_thread("a thread")
        await discord.start_thread("hidden", "random")
        await discord.say("not read", channel="hidden")
        identifier = await discord.say("in a thread", channel="a thread")
        await discord.edit(identifier, "edited in a thread")
        await intake.texts(2)
        first, second = intake.messages
        assert first.channel == second.channel == discord.channels["general"]
        assert first.id == second.id == f"{discord.threads['a thread']}:{identifier}"
        assert isinstance(enforcer, Discord)
        await enforcer.delete(second, reason="test")
        assert discord.texts("a thread") == []


async def test_what_is_no_edit_is_not_judged_again(discord: DiscordPlatform) -> None:
    """A link's preview, an update without text, an update of a message that nobody knows."""
    async with connected(discord) as (_, intake):
        identifier = await discord.say("see https://example.org")
        place = discord.messages[identifier]
        await discord.emit("MESSAGE_UPDATE", place | {"embeds": [{"type": "link", "url": "https://example.org"}]})
        await discord.emit(
            "MESSAGE_UPDATE", {"id": identifier, "channel_id": place["channel_id"], "guild_id": place["guild_id"]}
        )
        await discord.say("the last")
        assert await intake.texts(2) == ["see https://example.org", "the last"]


async def test_what_is_forwarded_and_asked_in_a_poll_is_read(discord: DiscordPlatform) -> None:
    async with connected(discord) as (_, intake):
        forwarded: dict[str, Any] = {
            "content": "you idiot",
            "timestamp": datetime.now(UTC).isoformat(),
            "edited_timestamp": None,
            "type": 0,
        }
        forwarded |= {
            "embeds": [],
            "attachments": [],
            "mentions": [],
            "mention_roles": [],
            "components": [],
            "flags": 0,
        }
        await discord.say("", extra={"message_snapshots": [{"message": forwarded}]})
        assert await intake.texts(1) == ["you idiot"]


@pytest.mark.parametrize("custom_id", ["", "x", "chat-moderator:1:delete", "chat-moderator:-1:approve", "other:1:deny"])
async def test_a_foreign_button_changes_nothing(discord: DiscordPlatform, custom_id: str) -> None:
    async with connected(discord) as (_, intake):
        message = discord.message_object(discord.channels["moderators"], "x", user="1", name="x", bot=True)
        await discord.emit("INTERACTION_CREATE", discord.interaction(custom_id, message))
        elsewhere = discord.message_object(discord.channels["general"], "x", user="1", name="x", bot=True)
        await discord.emit("INTERACTION_CREATE", discord.interaction("chat-moderator:1:approve", elsewhere))
        await said(discord, intake)
        assert intake.resolved == []
        assert discord.interactions == []


@pytest.mark.parametrize("code", [4004, 4014])
async def test_a_close_code_that_an_operator_must_mend_ends_the_run(discord: DiscordPlatform, code: int) -> None:
    source = Discord(Config(token=discord.given_token, api=discord.url))
    intake = JournalIntake()
    running = asyncio.create_task(source.run(intake))
    await intake.until(lambda: intake.ups > 0)
    await discord.drop(code)
    with pytest.raises(PermanentError, match=r"discord\.com/developers"):
        await running
    await source.aclose()


def test_settings_that_cannot_work_are_refused_with_their_place() -> None:
    with pytest.raises(ConfigError, match="moderators_channel: the channel's id"):
        Discord(Config(token="x", moderators_channel="#general"))
    with pytest.raises(ConfigError, match="public_key"):
        Discord(Config(token="x", public_key="xyz"))


@given(st.text(max_size=5000), st.text(max_size=40), st.sampled_from(list(Verdict)))
def test_an_alert_fits_and_pings_nobody_whatever_it_quotes(text: str, name: str, verdict: Verdict) -> None:
    record = make_record(make_message(text, author=Author("1", name)), verdict)
    alert = alert_of(record)
    assert len(alert["content"]) <= LIMIT
    assert alert["allowed_mentions"] == {"parse": []}
    assert len(answered(alert["content"], "Approved by mia.")["content"]) <= LIMIT
    buttons = alert["components"][0]["components"]
    assert [pressed(button["custom_id"]) for button in buttons] == [(record.seq, True), (record.seq, False)]


def test_markup_shows_as_it_was_written() -> None:
    assert escaped("**@everyone** <@1> [a](b)") == r"\*\*\@everyone\*\* \<\@1\> \[a\](b)"


async def test_a_server_that_removed_the_bot_is_named_until_it_is_back(discord: DiscordPlatform) -> None:
    async with connected(discord) as (_, intake):
        await discord.say("hello")
        await intake.texts(1)
        for again in ({"unavailable": False}, {}):  # as after an outage, and as of a new server
            await discord.emit("GUILD_DELETE", {"id": GUILD})
            async with asyncio.timeout(30):
                while not intake.problems.get(f"server {GUILD}"):
                    await asyncio.sleep(0.01)
            assert "invite it again" in intake.problems[f"server {GUILD}"]
            assert "A server" in intake.problems[f"server {GUILD}"]
            known = {key: value for key, value in discord.guild_object().items() if key != "unavailable"}
            await discord.emit("GUILD_CREATE", known | again)
            async with asyncio.timeout(30):
                while intake.problems[f"server {GUILD}"]:
                    await asyncio.sleep(0.01)
        await discord.say("hello again")
        await intake.texts(2)
