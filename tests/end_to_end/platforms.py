"""A platform and a moderator as its users run it: what is written there, what becomes of it, what the audit says."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import httpx
import msgspec

from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.database import Database
from chat_moderator.types import Record
from tests.running import Running, free_port

PATIENCE = 40.0
POLICY = '[policy.actions]\nblock = ["delete", "reply", "alert"]\nhold = ["hold", "alert"]\n'
BAD, GOOD = "you stupid idiot, go to hell", "good game everyone"


class Moderated:
    """A directory with settings, and the process that serves it; started and killed as a test likes."""

    started: ClassVar[list[Running]] = []

    def __init__(
        self, directory: Path, table: dict[str, Any], environment: dict[str, str], *, actions: str = POLICY
    ) -> None:
        self.directory = directory
        self.environment = environment
        self.settings = directory / "moderator.toml"
        lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in table.items()]
        self.settings.write_text("[[sources]]\n" + "\n".join(lines) + "\n\n" + actions)
        self.port = free_port()
        self.running: Running | None = None

    async def start(self) -> None:
        self.running = Running(self.directory, self.port, "--config", str(self.settings), environment=self.environment)
        self.started.append(self.running)
        await asyncio.to_thread(self.running.wait_until_ready)

    async def kill(self) -> None:
        assert self.running is not None
        await asyncio.to_thread(self.running.kill)

    async def stop(self) -> None:
        if self.running is not None and self.running.process.poll() is None:
            assert await asyncio.to_thread(self.running.stop) == 0

    async def health(self) -> dict[str, Any]:
        assert self.running is not None
        async with httpx.AsyncClient() as client:
            found: dict[str, Any] = (await client.get(f"{self.running.url}/healthz")).json()
            return found

    async def records(self) -> list[Record]:
        database = Database(self.directory)
        found = await database.ask(RecordsAfter(seq=0, limit=10_000))
        database.close()
        return found


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.02)
