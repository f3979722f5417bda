"""`init`: what is missing is said, the settings are written, a secret is neither shown nor kept."""

import asyncio
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from chat_moderator import config, registry
from tests.cli.commands import Done, command
from tests.servers.discord import DiscordPlatform, discord_server
from tests.servers.irc import PASSWORD, IrcPlatform, irc_server
from tests.servers.matrix import Person, homeserver
from tests.servers.slack import SECRET, SlackPlatform, slack_server
from tests.servers.telegram import TOKEN as TELEGRAM_TOKEN
from tests.servers.telegram import telegram_server
from tests.servers.twitch import CLIENT, CLIENT_SECRET, TwitchPlatform, twitch_server

TOKEN = "bot-token.of.tests"


def served(opened: Callable[[], AbstractAsyncContextManager[Any]]) -> Iterator[Any]:
    """A local server on a loop of its own, since the command runs one too."""
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), []
    end = asyncio.Event()

    async def serve() -> None:
        async with opened() as server:
            found.append(server)
            ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    yield found[0]
    loop.call_soon_threadsafe(end.set)
    thread.join()
    loop.close()


@pytest.fixture
def discord() -> Iterator[DiscordPlatform]:
    yield from served(discord_server)


@pytest.fixture
def slack() -> Iterator[SlackPlatform]:
    yield from served(slack_server)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)


def init_discord(discord: DiscordPlatform, *more: str) -> Done:
    channel = f"moderators_channel={discord.channels['moderators']}"
    return command("init", "discord", "--set", f"api={discord.url}", "--set", channel, *more)


def test_a_new_file_is_written_and_starts_flag_only(discord: DiscordPlatform, tmp_path: Path) -> None:
    done = init_discord(discord)
    assert (done.code, done.err) == (0, "")
    assert "chat-moderator serve" in done.out
    text = (tmp_path / "moderator.toml").read_text()
    assert TOKEN not in text + done.out
    table = tomllib.loads(text)
    (source,) = table["sources"]
    assert source["token"] == "${DISCORD_TOKEN}"
    assert source["enforce"] is False
    assert table["policy"]["actions"]["hold"] == ["hold", "alert"]


def test_what_is_missing_is_said_with_its_cure(discord: DiscordPlatform) -> None:
    discord.intents, discord.permitted = False, False
    done = command("init", "discord", "--set", f"api={discord.url}", "--set", "moderators_channel=12345")
    assert done.code == 1
    for part in ("Message Content", "https://discord.com/developers", "Manage Messages", "permissions=", "12345"):
        assert part in done.out


def test_a_refused_token_is_said(discord: DiscordPlatform) -> None:
    discord.revoke()
    done = init_discord(discord)
    assert done.code == 1
    assert "refuses the token" in done.out
    assert TOKEN not in done.out + done.err


def test_an_existing_file_is_left_alone_unless_it_may_be_added_to(discord: DiscordPlatform, tmp_path: Path) -> None:
    path = tmp_path / "moderator.toml"
    path.write_text("# mine\n[policy.actions]\nblock = []")
    done = init_discord(discord)
    assert path.read_text() == "# mine\n[policy.actions]\nblock = []"
    assert "[[sources]]" in done.out
    init_discord(discord, "--yes")
    text = path.read_text()
    assert text.startswith("# mine\n")
    assert tomllib.loads(text)["policy"]["actions"] == {"block": []}
    again = init_discord(discord, "--yes")
    assert again.code == 2
    assert "--name" in again.err
    assert path.read_text() == text
    assert init_discord(discord, "--yes", "--name", "second").code == 0
    assert [source["name"] for source in tomllib.loads(path.read_text())["sources"]] == ["discord", "second"]


def test_a_broken_file_is_not_touched(discord: DiscordPlatform, tmp_path: Path) -> None:
    (tmp_path / "moderator.toml").write_text("[policy")
    done = init_discord(discord, "--yes")
    assert done.code == 2
    assert "is not TOML" in done.err
    assert (tmp_path / "moderator.toml").read_text() == "[policy"


def test_what_it_needs_and_nobody_is_there_to_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISCORD_TOKEN")
    done = command("init", "discord")
    assert done.code == 2
    assert "DISCORD_TOKEN" in done.err
    assert "command line can be read" in command("init", "discord", "--set", "token=x").err
    assert "there is no setup 'myspace'" in command("init", "myspace").err


def test_a_platform_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    done = command("init", "discord", "--set", "api=http://127.0.0.1:9")
    assert "could not be checked" in done.err
    assert (tmp_path / "moderator.toml").is_file()


def test_slack_says_which_scopes_are_missing(slack: SlackPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_TOKEN", slack.token)
    monkeypatch.setenv("SLACK_SIGNING_SECRET", SECRET)
    arguments = ("init", "slack", "--set", f"api={slack.url}")
    done = command(*arguments)
    assert done.code == 1
    assert "Without a user token nothing can be deleted" in done.out
    slack.permitted = False
    monkeypatch.setenv("SLACK_USER_TOKEN", slack.user_token)
    done = command(*arguments, "--yes", "--name", "other")
    assert "chat:write, groups:history" in done.out
    assert SECRET not in done.out


def test_matrix_says_that_the_account_is_in_no_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = Person("bot").token
    monkeypatch.setenv("MATRIX_TOKEN", token)
    done = command("init", "matrix", "--set", f"homeserver={homeserver()}", "--yes")
    assert "is in no room to moderate" in done.out
    assert token not in done.out + done.err
    (table,) = tomllib.loads((tmp_path / "moderator.toml").read_text())["sources"]
    assert (table["type"], table["homeserver"], table["token"]) == ("matrix", homeserver(), "${MATRIX_TOKEN}")


@pytest.fixture
def twitch() -> Iterator[TwitchPlatform]:
    yield from served(twitch_server)


def test_twitch_is_written_so_that_it_can_be_served(
    twitch: TwitchPlatform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = {"CLIENT_SECRET": CLIENT_SECRET, "TOKEN": twitch.token, "REFRESH_TOKEN": twitch.refresh_token}
    for key, value in secrets.items():
        monkeypatch.setenv(f"TWITCH_{key}", value)
    answers = {"client_id": CLIENT, "channels": "general, random", "api": f"{twitch.url}/helix"}
    answers |= {"id_api": f"{twitch.url}/oauth2"}
    given = [part for pair in answers.items() for part in ("--set", "=".join(pair))]
    done = command("init", "twitch", *given)
    assert (done.code, done.err) == (0, "")
    text = (tmp_path / "moderator.toml").read_text()
    assert not any(secret in text + done.out for secret in secrets.values())
    settings = config.read(tmp_path / "moderator.toml")
    source = dict(settings.sources[0])
    kind, own = registry.configure("source", source.pop("type"), source, path="sources[0]")
    assert kind(own)
    twitch.permitted = False
    done = command("init", "twitch", *given, "--yes", "--name", "other")
    assert "/mod moderator_bot" in done.out


def test_telegram_says_that_the_bot_reads_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_TOKEN", TELEGRAM_TOKEN)
    for telegram in served(telegram_server):
        assert command("init", "telegram", "--set", f"api={telegram.url}").code == 0
        telegram.reads_all = False
        done = command("init", "telegram", "--set", f"api={telegram.url}", "--yes", "--name", "other")
        assert done.code == 1
        assert "/setprivacy" in done.out
        assert TELEGRAM_TOKEN not in done.out + done.err


@pytest.fixture
def irc() -> Iterator[IrcPlatform]:
    yield from served(irc_server)


def test_irc_is_written_so_that_it_can_be_served(
    irc: IrcPlatform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IRC_SERVER_PASSWORD", PASSWORD)
    answers = {"server": irc.settings["server"], "nick": irc.nick, "channels": "#general,#random"}
    given = [part for pair in answers.items() for part in ("--set", "=".join(pair))]
    done = command("init", "irc", *given)
    assert (done.code, done.err) == (0, "")
    text = (tmp_path / "moderator.toml").read_text()
    assert PASSWORD not in text + done.out
    source = dict(config.read(tmp_path / "moderator.toml").sources[0])
    kind, own = registry.configure("source", source.pop("type"), source, path="sources[0]")
    assert kind(own)
    irc.owner.collect(f"MODE #general -w o:{irc.nick}*!*@*")
    done = command("init", "irc", *given, "--yes", "--name", "other")
    assert done.code == 1
    assert f"/mode #general +o {irc.nick}" in done.out
