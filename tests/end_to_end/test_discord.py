"""Discord, whole: the real command against a server that speaks Discord's protocol."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat_moderator.types import OutcomeState, Record, Verdict
from tests.end_to_end.platforms import BAD, GOOD, Moderated, until
from tests.servers.discord import DiscordPlatform, discord_server


@pytest.fixture
async def discord() -> AsyncIterator[DiscordPlatform]:
    async with discord_server() as server:
        yield server


def moderated(discord: DiscordPlatform, directory: Path, *, enforce: bool = True) -> Moderated:
    table = discord.settings | {"type": "discord", "name": "my-server", "token": "${BOT_TOKEN}", "enforce": enforce}
    return Moderated(directory, table, {"BOT_TOKEN": discord.given_token})


def outcomes(record: Record) -> dict[str, OutcomeState]:
    return {outcome.action: outcome.state for outcome in record.outcomes}


async def test_what_is_bad_disappears_and_what_is_good_stays(discord: DiscordPlatform, tmp_path: Path) -> None:
    moderator = moderated(discord, tmp_path)
    await moderator.start()
    await until(lambda: bool(discord.sessions))
    await discord.say(GOOD, author="bea")
    await discord.say(BAD)
    edited = await discord.say("hello there")
    await until(lambda: discord.texts() == [GOOD, "hello there"])
    await discord.edit(edited, BAD)
    await until(lambda: discord.texts() == [GOOD])
    await until(lambda: len(discord.told()) == 2 and len(discord.alerts()) == 2)
    assert "removed" in discord.told()[0]
    assert discord.told("bea") == []
    assert all("idiot" in alert and "ada" in alert for alert in discord.alerts())
    assert (await moderator.health())["status"] == "ok"

    # A moderator takes the first one back: it is shown again.
    seq = int(discord.alerts()[0].partition("record ")[2].split()[0])
    await discord.press(seq, approve=True)
    await until(lambda: any("idiot" in text for text in discord.texts()))
    await until(lambda: bool(discord.interactions))
    await moderator.stop()

    assert discord.complaints == []
    records = await moderator.records()
    assert [record.decision.verdict for record in records] == [
        Verdict.ALLOW,
        Verdict.BLOCK,
        Verdict.ALLOW,
        Verdict.BLOCK,
    ]
    _, bad, _, second = records
    assert (bad.message.client, bad.message.platform, bad.message.author.name) == ("my-server", "discord", "ada")
    assert bad.decision.rule
    assert bad.decision.label
    assert second.message.id == edited
    assert second.message.revision > 0
    assert outcomes(second) == dict.fromkeys(("delete", "reply", "alert"), OutcomeState.DONE)
    assert outcomes(bad)["undo"] is OutcomeState.DONE


async def test_killed_between_decision_and_action_it_is_done_once(discord: DiscordPlatform, tmp_path: Path) -> None:
    moderator = moderated(discord, tmp_path)
    await moderator.start()
    await until(lambda: bool(discord.sessions))
    discord.hold_calls.clear()
    await discord.say(BAD)
    await until(lambda: discord.held > 0)  # decided, and the first call is on its way
    await moderator.kill()
    await discord.say(GOOD)  # while nobody listens
    await discord.say(BAD, author="bea")
    discord.hold_calls.set()
    await moderator.start()
    await until(lambda: discord.texts() == [GOOD])
    await until(lambda: len(discord.told("bea")) == 1)
    await until(lambda: sum("bea" in alert for alert in discord.alerts()) == 1)
    await moderator.stop()
    assert discord.complaints == []
    records = await moderator.records()
    assert sorted(record.message.text for record in records) == sorted([BAD, GOOD, BAD])
    for record in records:
        if record.decision.verdict is Verdict.BLOCK:
            states = outcomes(record)
            assert set(states) == {"delete", "reply", "alert"}
            assert states["delete"] is OutcomeState.DONE
            assert set(states.values()) <= {OutcomeState.DONE, OutcomeState.UNCERTAIN}
    assert len(discord.told()) <= 1


async def test_without_enforce_nothing_happens_but_an_alert(discord: DiscordPlatform, tmp_path: Path) -> None:
    moderator = moderated(discord, tmp_path, enforce=False)
    await moderator.start()
    await until(lambda: bool(discord.sessions))
    await discord.say(BAD)
    await until(lambda: len(discord.alerts()) == 1)
    await moderator.stop()
    assert discord.texts() == [BAD]
    assert discord.told() == []
    (record,) = await moderator.records()
    states = outcomes(record)
    assert states == {"delete": OutcomeState.SKIPPED, "reply": OutcomeState.SKIPPED, "alert": OutcomeState.DONE}


@pytest.mark.parametrize("trouble", ["token", "intent"])
async def test_what_an_operator_must_mend_is_shown_and_heals(
    discord: DiscordPlatform, tmp_path: Path, trouble: str
) -> None:
    discord.intents = trouble != "intent"
    if trouble == "token":
        discord.revoke()
    moderator = moderated(discord, tmp_path)
    await moderator.start()
    async with asyncio.timeout(20):
        while (health := await moderator.health())["status"] == "ok":
            await asyncio.sleep(0.05)
    (problem,) = health["problems"]
    assert problem.startswith("my-server: ")
    assert "https://discord.com/developers/applications" in problem
    assert discord.given_token not in problem
    assert discord.given_token not in (tmp_path / "stderr.log").read_text()
    await moderator.stop()
