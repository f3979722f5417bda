"""A connection that is lost under traffic: what came through once it stood again, and what is said about the rest."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from chat_moderator.config import Settings
from chat_moderator.store.audit import RecordsAfter
from tests.gateway.serving import Gateway, gateway_on
from tests.servers.discord import discord_server
from tests.servers.matrix import matrix_server
from tests.servers.process import Line
from tests.servers.slack import slack_server
from tests.servers.telegram import TelegramUpdates, telegram_server
from tests.servers.twitch import TwitchEvents, twitch_server

PATIENCE: Final = 180.0
EVERY: Final = 0.05
"""Seconds between two messages."""


@dataclass(frozen=True)
class Case:
    """`called`: by webhooks; `replays`: the platform hands over what was written meanwhile."""

    opened: Callable[[], AbstractAsyncContextManager[Any]]
    settings: dict[str, Any]
    called: bool = False
    replays: bool = True
    session_lost: bool = False


CASES: Final[dict[str, Case]] = {
    "discord": Case(discord_server, {"type": "discord"}),
    "discord, session lost": Case(discord_server, {"type": "discord"}, session_lost=True),
    "matrix": Case(matrix_server, {"type": "matrix"}),
    "slack": Case(slack_server, {"type": "slack"}, called=True),
    "telegram": Case(telegram_server, {"type": "telegram"}),
    "telegram, webhook": Case(telegram_server, {"type": "telegram"} | TelegramUpdates.settings, called=True),
    "twitch": Case(twitch_server, {"type": "twitch"}, replays=False),
    "twitch, webhook": Case(twitch_server, {"type": "twitch", "automod": False} | TwitchEvents.settings, called=True),
}


@dataclass(frozen=True)
class Outage:
    """`lost`: of those written, never decided; `meanwhile`: written while the line was cut, or not yet back.

    `gaps` is the metric's; `told` what `/healthz` says of them.
    """

    written: int
    meanwhile: int
    lost: int
    doubled: int
    gaps: int
    told: tuple[str, ...]


async def outage(name: str, directory: Path, seconds: float) -> Outage:
    """Writes on while the line to the platform is cut for so long, and until it stands again."""
    async with _served(CASES[name], directory) as (platform, gateway, cut, mend):
        written: list[str] = []

        async def write(count: int = 1) -> None:
            for _ in range(count):
                written.append(f"message {len(written)} of ada")
                await platform.say(written[-1])
                await asyncio.sleep(EVERY)

        await write(10)
        await _until(lambda: _decided(gateway, written))
        before, loop = len(written), asyncio.get_running_loop()
        await cut()
        until = loop.time() + seconds
        while loop.time() < until:
            await write()
        after = len(written)
        await mend()
        async with asyncio.timeout(PATIENCE):  # what is written from now on comes through at last
            while not await _any_decided(gateway, written[after:]):
                await write()
        back = len(written)
        await write(10)
        await _until(lambda: _decided(gateway, written if CASES[name].replays else written[back:]))
        counts = await _counts(gateway)
        metrics = (await gateway.http.get("/metrics")).text
        found = re.search(r"^chat_moderator_source_gaps_total\S* ([\d.]+)$", metrics, re.MULTILINE)
        health = (await gateway.http.get("/healthz")).json()
        assert gateway.app.connections.problems == ()
        return Outage(
            written=len(written),
            meanwhile=back - before,
            lost=sum(not counts[text] for text in written),
            doubled=sum(times > 1 for times in counts.values()),
            gaps=int(float(found[1])) if found else 0,
            told=tuple(health["gaps"]),
        )


@asynccontextmanager
async def _served(
    case: Case, directory: Path
) -> AsyncIterator[tuple[Any, Gateway, Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]]]:
    """A platform behind a line, the moderator, and what cuts and mends it."""
    async with case.opened() as platform:
        there = urlsplit(platform.url).port
        line = Line(there or 0)
        await line.open()
        platform.url = platform.url.replace(f":{there}", f":{line.port}")
        async with gateway_on(directory, Settings(sources=(platform.settings | case.settings,))) as gateway:

            async def cut() -> None:
                platform.deliver = None
                await line.cut()
                if case.session_lost:
                    platform.sessions.clear()

            async def mend() -> None:
                await line.open()
                if case.called:
                    platform.post_to(f"{gateway.url}/webhooks/{case.settings['type']}")
                    await platform.flush()

            if case.called:
                platform.post_to(f"{gateway.url}/webhooks/{case.settings['type']}")
            await _until(lambda: _connected(platform, case))
            try:
                yield platform, gateway, cut, mend
            finally:
                await line.cut()


async def _connected(platform: Any, case: Case) -> bool:
    match case.settings["type"]:
        case "discord":
            return bool(platform.sessions)
        case "twitch":
            return len(platform.subscriptions) >= 3
        case "telegram":
            return bool(platform.polling) or bool(platform.webhook)
        case "matrix":
            return bool(platform.syncs > 1)
        case _:
            return bool(platform.calls)


async def _counts(gateway: Gateway) -> Counter[str]:
    records = await gateway.app.store.ask(RecordsAfter(seq=0, limit=100_000))
    return Counter(record.message.text for record in records)


async def _decided(gateway: Gateway, texts: list[str]) -> bool:
    return set(texts) <= set(await _counts(gateway))


async def _any_decided(gateway: Gateway, texts: list[str]) -> bool:
    return not set(texts).isdisjoint(await _counts(gateway))


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():
            await asyncio.sleep(0.05)
