"""The figures that docs/reference/platforms.md names hold."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chat_moderator.store.database import Database
from tests.end_to_end.platforms import Moderated
from tests.figures.burst import burst
from tests.figures.copies import COPIES, of_a_delivery, of_a_press, of_an_event
from tests.figures.outage import CASES, outage
from tests.figures.refusals import missing_permission, refused_token
from tests.servers.discord import DiscordPlatform, discord_server

OUTAGE = float(os.environ.get("CHAT_MODERATOR_OUTAGE", "1.5"))
"""Seconds that a connection is lost."""

MOST_INVALID = 1000
"""In ten minutes; Discord bars an address at 10,000."""


@pytest.fixture
async def discord() -> AsyncIterator[DiscordPlatform]:
    async with discord_server() as server:
        yield server


@pytest.fixture(autouse=True)
def ends_processes() -> Iterator[None]:
    yield
    while Moderated.started:
        running = Moderated.started.pop()
        if running.process.poll() is None:
            running.kill()


@pytest.mark.parametrize("every", [0, 4])
async def test_a_burst_is_deleted_whole(tmp_path: Path, every: int) -> None:
    found = await burst(tmp_path, 2000, rate=1000, every=every)
    assert (found.bad, found.left, found.kept, found.early) == (400, 0, 1600, 0)
    assert found.invalid <= MOST_INVALID
    assert bool(found.limited) is bool(every)


async def test_a_revoked_token_costs_few_invalid_requests(discord: DiscordPlatform, tmp_path: Path) -> None:
    database = Database(tmp_path)
    assert 0 < await refused_token(discord, database) <= MOST_INVALID
    database.close()


async def test_a_missing_permission_costs_few_invalid_requests(discord: DiscordPlatform) -> None:
    assert 0 < await missing_permission(discord) <= MOST_INVALID


@pytest.mark.parametrize("name", ["slack", "telegram", "twitch"])
async def test_fifty_copies_of_an_event_are_one(name: str, tmp_path: Path) -> None:
    found = await of_an_event(name, tmp_path)
    assert found.answers == (200,) * COPIES
    assert (found.decisions, found.deletions, found.confirmed) == (1, 1, 1)


@pytest.mark.parametrize("name", ["discord", "slack"])
async def test_fifty_copies_of_a_press_are_one(name: str, tmp_path: Path) -> None:
    found = await of_a_press(name, tmp_path)
    assert found.answers == (200,) * COPIES
    assert (found.decisions, found.deletions, found.confirmed, found.shown) == (1, 1, 1, 1)


async def test_fifty_copies_of_a_delivery_are_one(tmp_path: Path) -> None:
    found = await of_a_delivery(tmp_path)
    assert (found.answers, found.decisions) == ((202,) * COPIES, 1)


@pytest.mark.parametrize("name", sorted(CASES))
async def test_an_outage_loses_nothing_or_is_told(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = await outage(name, tmp_path, OUTAGE)
    assert found.meanwhile >= OUTAGE
    assert found.doubled == 0
    if CASES[name].replays:
        assert (found.lost, found.gaps, found.told) == (0, 0, ())
    else:
        assert 0 < found.lost <= found.meanwhile
        assert found.gaps == 1
        (told,) = found.told
        assert told.startswith("twitch: 1 since the start, the last 2")
        assert "Twitch does not send again" in told
        assert "twitch may have missed messages: Twitch does not send again" in caplog.text
