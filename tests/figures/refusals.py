"""How many invalid requests Discord gets in ten minutes when nothing is allowed any more; time is simulated."""

import asyncio
import bisect
import heapq
import itertools
from collections.abc import Coroutine
from typing import Any

from chat_moderator.errors import PermanentError, TransientError
from chat_moderator.moderator.ingest import Ingest
from chat_moderator.queues.memory import MemoryQueue
from chat_moderator.sources.discord import Config, Discord
from chat_moderator.sources.discord_limits import WINDOW, DiscordLimits
from chat_moderator.store.database import Store
from chat_moderator.testing.factories import make_message
from chat_moderator.types import Message
from tests.servers.discord import DiscordPlatform


class SimulatedTime:
    """Seconds that pass only when every task waits for some to pass."""

    def __init__(self) -> None:
        self.at = 0.0
        self._order = itertools.count()
        self._resting: list[tuple[float, int, asyncio.Event]] = []
        self._moved = asyncio.Event()

    def __call__(self) -> float:
        return self.at

    async def rest(self, seconds: float) -> None:
        """Returns when so many have passed."""
        woken = asyncio.Event()
        heapq.heappush(self._resting, (self.at + max(seconds, 0.001), next(self._order), woken))
        self._moved.set()
        await woken.wait()

    async def run(self, tasks: set[asyncio.Task[None]], seconds: float) -> None:
        """Lets so many pass."""
        while self.at < seconds:
            running = {task for task in tasks if not task.done()}
            if len(self._resting) < len(running):
                self._moved.clear()
                moving = asyncio.create_task(self._moved.wait())
                await asyncio.wait({moving, *running}, return_when=asyncio.FIRST_COMPLETED)
                moving.cancel()
            elif not running:
                return
            else:
                self.at, _, woken = heapq.heappop(self._resting)
                woken.set()
                await asyncio.sleep(0)


class _Nobody:
    """Implements `SourceObserver`."""

    def accepted(self, source: str, count: int) -> None:
        """Nothing is counted."""

    def restarted(self, source: str) -> None:
        """Nothing is counted."""

    def missed(self, source: str) -> None:
        """Nothing is counted."""


async def refused_token(discord: DiscordPlatform, store: Store, *, seconds: float = 1800.0) -> int:
    """With a token that was revoked while 400 deletions wait, and a source that is run again."""
    simulated = SimulatedTime()
    source = _connected(discord, simulated)
    messages = [_message(discord, number) for number in range(400)]
    await source.delete(messages.pop(), reason="logs in")
    discord.revoke()
    ingest = Ingest("discord", source, MemoryQueue(), store, _Nobody(), rest=simulated.rest)

    async def act(message: Message, reason: str) -> None:
        while True:
            try:
                await source.delete(message, reason=reason)
            except TransientError as problem:
                await simulated.rest(problem.retry_after.total_seconds() if problem.retry_after else 1.0)

    acting = [act(message, f"rule {number % 4}") for number, message in enumerate(messages)]
    return await _most_invalid(discord, simulated, [ingest.run(), *acting], seconds, source)


async def missing_permission(discord: DiscordPlatform, *, seconds: float = 1800.0) -> int:
    """With four deletions a second, none of them allowed, each alone."""
    simulated = SimulatedTime()
    source = _connected(discord, simulated)
    discord.forbid()

    async def act() -> None:
        for number in itertools.count():
            try:
                await source.delete(_message(discord, number), reason="test")
            except TransientError as problem:
                await simulated.rest(problem.retry_after.total_seconds() if problem.retry_after else 1.0)
            except PermanentError:
                await simulated.rest(0.25)

    return await _most_invalid(discord, simulated, [act()], seconds, source)


def _connected(discord: DiscordPlatform, simulated: SimulatedTime) -> Discord:
    discord.clock = simulated
    config = Config(token=discord.given_token, api=discord.url)
    return Discord(config, limits=DiscordLimits(simulated, simulated.rest))


def _message(discord: DiscordPlatform, number: int) -> Message:
    return make_message(id=discord.snowflake(), channel=discord.channels[("general", "random")[number % 2]])


async def _most_invalid(
    discord: DiscordPlatform,
    simulated: SimulatedTime,
    work: list[Coroutine[Any, Any, None]],
    seconds: float,
    source: Discord,
) -> int:
    """The most invalid requests that came within ten minutes."""
    tasks = {asyncio.create_task(each) for each in work}
    try:
        await simulated.run(tasks, seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await source.aclose()
    at = sorted(discord.invalid)
    return max((bisect.bisect(at, begun + WINDOW) - index for index, begun in enumerate(at)), default=0)
