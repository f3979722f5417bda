"""The policy changes while messages flow; a broken edit changes nothing and says so."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.running import Running, free_port

ALL_HELD = '[[policy.rules]]\nname = "everything"\nwhen = "true"\nverdict = "hold"\n'
PATIENCE = 5.0


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "moderator.toml"
    path.write_text("")
    return path


@pytest.fixture
def running(tmp_path: Path, settings: Path) -> Iterator[Running]:
    started = Running(tmp_path, free_port(), "--config", str(settings))
    started.wait_until_ready()
    yield started
    started.stop()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():
            await asyncio.sleep(0.05)


async def test_an_edit_is_in_force_within_five_seconds(running: Running, settings: Path) -> None:
    async with httpx.AsyncClient(base_url=running.url) as client:

        async def verdict() -> str:
            answer = await client.post("/run", json={"messages": [{"id": "1", "text": "hello there"}]})
            return str(answer.json()["results"][0]["action"])

        async def health() -> dict[str, object]:
            found: dict[str, object] = (await client.get("/healthz")).json()
            return found

        assert await verdict() == "allow"
        before = (await health())["policy"]
        settings.write_text(ALL_HELD)

        async def held() -> bool:
            return await verdict() == "hold"

        await until(held)
        assert (await health())["policy"] != before

        settings.write_text(ALL_HELD.replace("true", "scores.toxcity > 0.5"))

        async def degraded() -> bool:
            return (await health())["status"] == "degraded"

        await until(degraded)
        assert "policy.rules[0].when" in str((await health())["problems"])
        assert await verdict() == "hold"

        settings.write_text("")

        async def allowed() -> bool:
            return await verdict() == "allow"

        await until(allowed)
        assert (await health())["status"] == "ok"
