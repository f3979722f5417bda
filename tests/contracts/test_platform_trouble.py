"""What goes wrong on a platform is one clear line with its place and its cure, and stops nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chat_moderator.config import Settings
from chat_moderator.errors import ForbiddenError, UnauthorizedError
from chat_moderator.policy.config import ActionsConfig, PolicyConfig
from chat_moderator.protocols import Enforcer
from chat_moderator.testing.doubles import JournalIntake
from chat_moderator.testing.sources import acting, connected, said
from chat_moderator.types import Outcome, OutcomeState
from tests.contracts.cases import PLATFORMS
from tests.gateway.serving import Gateway, gateway_on
from tests.running import free_port
from tests.servers.telegram import telegram_server

NAMES = ("discord", "matrix", "slack", "telegram", "twitch")
SPOKEN = {"matrix": "homeserver"}
"""What a platform is called in an error, where that is not its name."""

LETTERS = "\u05d0\u05d1\u05d2"
POLICY = PolicyConfig(actions=ActionsConfig(block=("delete",)))


@pytest.fixture(params=NAMES)
async def platform(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    async with PLATFORMS[request.param]() as opened:
        yield opened


def names_the_platform(text: str, platform: Any) -> bool:
    return str(SPOKEN.get(platform.name, platform.name)) in text.lower()


@asynccontextmanager
async def moderated(directory: Path, *platforms: Any, **more: Any) -> AsyncIterator[Gateway]:
    """A gateway with a connection to each platform, which acts."""
    tables = tuple(each.settings | {"type": each.name, "enforce": True} | more for each in platforms)
    async with gateway_on(directory, Settings(sources=tables, policy=POLICY)) as gateway:
        for each in platforms:
            if each.name == "slack":
                each.post_to(f"{gateway.url}/webhooks/slack")
        yield gateway


async def problems(gateway: Gateway) -> list[str]:
    """Of the connections: no file of settings is watched here, which is told too."""
    found: list[str] = (await gateway.http.get("/healthz")).json()["problems"]
    return [problem for problem in found if problem != "watch has ended"]


async def until_told(gateway: Gateway, *words: str) -> str:
    """The problem that holds all the words, once there is one."""
    async with asyncio.timeout(40):
        while True:
            for problem in await problems(gateway):
                if all(word in problem for word in words):
                    return problem
            await asyncio.sleep(0.02)


async def until_read(platform: Any, gateway: Gateway) -> None:
    """Says something until it is decided: then the connection stands."""
    before = gateway.app.metrics.registry.get_sample_value(MESSAGES, {"source": platform.name}) or 0.0
    async with asyncio.timeout(60):
        while (gateway.app.metrics.registry.get_sample_value(MESSAGES, {"source": platform.name}) or 0.0) <= before:
            await platform.say("hello")
            await asyncio.sleep(0.1)


MESSAGES = "chat_moderator_source_messages_total"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(40):
        while not holds():
            await asyncio.sleep(0.02)


async def test_a_long_text_by_an_odd_name_is_read_and_shown_again_whole(platform: Any) -> None:
    """4,000 characters right to left, by a right-to-left name; emoji alone; nothing at all."""
    long = (LETTERS + "\u202e\u05d3 ") * 800
    async with acting(platform) as (enforcer, intake):
        await platform.say_nothing()
        await platform.say("\N{PILE OF POO}\N{VARIATION SELECTOR-16}" * 30, author="\u05d3\u05d5\u05d3")
        await platform.say(long[:3999] + "!", author="\u05d3\u05d5\u05d3")
        emoji, message = [each.strip() for each in await intake.texts(2)]
        assert set(emoji) == {"\N{PILE OF POO}", "\N{VARIATION SELECTOR-16}"}
        assert message == long[:3999] + "!"
        await enforcer.delete(intake.messages[1], reason="test")
        await enforcer.undo(intake.messages[1], Outcome("delete", OutcomeState.DONE))
        shown = "".join(platform.texts()[1:])
        assert "\u05d3\u05d5\u05d3" in shown
        assert sum(shown.count(letter) for letter in LETTERS) == sum(message.count(letter) for letter in LETTERS)
        assert shown.rstrip().endswith("!")


async def test_a_right_missing_in_one_channel_is_told_with_its_place_and_cure(platform: Any) -> None:
    async with acting(platform) as (enforcer, intake):
        here = await said(platform, intake)
        await platform.say("elsewhere", channel="random")
        await intake.texts(2)
        there = intake.messages[1]
        platform.forbid("general")
        with pytest.raises(ForbiddenError) as raised:
            await enforcer.delete(here, reason="test")
        assert names_the_platform(str(raised.value), platform)
        assert here.channel in str(raised.value)
        await enforcer.delete(there, reason="test")
        assert platform.texts("random") == []


async def test_a_token_refused_meanwhile_keeps_actions_for_later(platform: Any) -> None:
    async with acting(platform) as (enforcer, intake):
        message = await said(platform, intake)
        platform.revoke()
        for _ in range(20):
            with pytest.raises(UnauthorizedError) as raised:
                await enforcer.delete(message, reason="test")
            assert raised.value.retry_after is not None
            assert raised.value.retry_after > timedelta(minutes=4)
        assert names_the_platform(str(raised.value), platform)
        secrets = [value for key, value in platform.settings.items() if "token" in key or "secret" in key]
        assert not any(str(secret) in str(raised.value) for secret in secrets)


async def test_what_an_operator_must_mend_is_in_the_health_and_the_log(
    platform: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A right in one channel; it is told once, and another channel goes on."""
    async with moderated(tmp_path, platform) as gateway:
        await until_read(platform, gateway)
        platform.forbid("general")
        for _ in range(3):
            await platform.say("so bad")
        problem = await until_told(gateway, f"{platform.name}: ")
        assert names_the_platform(problem.partition(": ")[2], platform)
        await platform.say("so bad", channel="random")
        await until(lambda: platform.texts("random") == [])
        async with asyncio.timeout(20):
            while await gateway.waiting():
                await asyncio.sleep(0.02)
        assert len([line for line in caplog.messages if problem.partition(": ")[2] in line]) == 1


async def test_a_platform_that_is_down_stops_no_other(platform: Any, tmp_path: Path) -> None:
    """The one cannot be reached; what is bad on the other disappears meanwhile."""
    if platform.name == "telegram":
        return  # the other
    there = platform.url.partition("//")[2].partition("/")[0]
    platform.url = platform.url.replace(there, f"127.0.0.1:{free_port()}")
    async with telegram_server() as telegram, moderated(tmp_path, platform, telegram) as gateway:
        await until_told(gateway, f"{platform.name}: ")
        await telegram.say("so bad")
        await until(lambda: telegram.texts() == [])
        assert all(problem.startswith(f"{platform.name}: ") for problem in await problems(gateway))


@pytest.mark.parametrize("name", ["discord", "matrix", "slack"])
async def test_history_that_is_too_long_is_a_gap(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"chat_moderator.sources.{name}.HISTORY", 20)
    async with PLATFORMS[name]() as platform:
        intake = JournalIntake(name)
        async with connected(platform, intake):
            await platform.say("before")
            await intake.texts(1)
        for number in range(150 if name == "matrix" else 30):
            await platform.say(f"meanwhile {number}")
        async with connected(platform, intake):
            await intake.until(lambda: bool(intake.gaps))
            assert intake.gaps[0].startswith("more than 20 messages came in ")


@pytest.mark.parametrize("name", ["discord", "slack"])
async def test_thousands_of_channels_are_caught_up_with(name: str) -> None:
    """5,000 channels, in a few of which something was written while nobody listened."""
    async with PLATFORMS[name]() as platform:
        server: Any = platform
        for number in range(5000):
            server.channels[f"channel-{number}"] = server.snowflake() if name == "discord" else f"C9{number:04}"
        intake = JournalIntake(name)
        async with connected(platform, intake):
            await platform.say("before")
            await intake.texts(1)
        wanted = {f"in {number}" for number in range(0, 5000, 500)}
        for number in range(0, 5000, 500):
            await platform.say(f"in {number}", channel=f"channel-{number}")
        async with connected(platform, intake) as (source, _):
            await platform.say("after")
            await intake.until(lambda: len(intake.messages) == 12, seconds=120)
            assert {message.text for message in intake.messages} == wanted | {"before", "after"}
            assert intake.gaps == []
            assert not any(intake.problems.values())
            assert isinstance(source, Enforcer)
            await source.delete(intake.messages[-1], reason="test")
