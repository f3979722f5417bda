"""The example is run as its reader would."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.gateway.serving import Gateway, gateway_on

EXAMPLE = Path(__file__).parents[2] / "examples/game_chat.py"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway_on(tmp_path) as running:
        yield running


async def test_the_game_chat_shows_what_is_allowed_and_what_a_moderator_approves(gateway: Gateway) -> None:
    command = (sys.executable, EXAMPLE, "--moderator", gateway.url, "--port", "0")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().strip().replace("NAME", "")
        async with asyncio.timeout(60), connect(f"{address}Ada") as ada, connect(f"{address}Ben") as ben:
            await ada.send("hello")
            assert await ben.recv() == "Ada: hello"
            assert {await ada.recv(), await ada.recv()} == {"Ada: hello", "(sent)"}
            await ada.send("you are bad")
            assert str(await ada.recv()).startswith("(not sent:")
            await ada.send("odd")
            assert await ada.recv() == "(a moderator looks at your message first)"
            held = (await gateway.http.get("/v1/reviews")).json()["reviews"][0]["id"]
            await gateway.post(f"/v1/reviews/{held}", {"verdict": "approve"})
            assert await ben.recv() == "Ada: odd"
    finally:
        process.terminate()
        await process.wait()
