"""Fifty copies of one call, all at once, to every webhook: what is decided, and what the platform is asked for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chat_moderator.config import Settings, WebhookSettings
from chat_moderator.policy.config import ActionsConfig, PolicyConfig
from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.outbox import OutboxDepth
from chat_moderator.types import OutcomeState, Record, now
from tests.gateway.serving import Gateway, gateway_on
from tests.servers.discord import DiscordInteractions, discord_server
from tests.servers.slack import slack_server
from tests.servers.standard import StandardDeliveries
from tests.servers.telegram import TelegramUpdates, telegram_server
from tests.servers.twitch import TwitchEvents, twitch_server

COPIES: Final = 50
PATIENCE: Final = 60.0
SECRET: Final = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="
POLICY: Final = PolicyConfig(actions=ActionsConfig(block=("delete", "alert")))
Call = tuple[bytes, dict[str, str]]


@dataclass(frozen=True)
class Copies:
    """`answers`: statuses; `deletions`: that the platform was asked for; `confirmed`: outcomes `done` of them.

    `shown`: how often a text was shown again, after a moderator pressed a button.
    """

    answers: tuple[int, ...]
    decisions: int
    deletions: int
    confirmed: int
    shown: int = 0


async def of_an_event(name: str, directory: Path) -> Copies:
    """A message that is to be deleted, on a platform that calls."""
    async with _served(name, directory) as (platform, gateway):
        calls = await _captured(platform, lambda: platform.say("so bad"))
        answers = await _send(gateway, f"/webhooks/{name}", calls[0])
        records = await _settled(gateway)
        confirmed = sum(_done(record) for record in records)
        return Copies(answers, len(records), len(platform.deletions), confirmed)


async def of_a_press(name: str, directory: Path) -> Copies:
    """A moderator's button: the deletion of the message is undone."""
    async with _served(name, directory) as (platform, gateway):
        if name == "discord":
            await _until(lambda: bool(platform.sessions))
            await platform.say("so bad")
        else:
            await _send(gateway, f"/webhooks/{name}", (await _captured(platform, lambda: platform.say("so bad")))[0], 1)
        await _until(lambda: bool(platform.deletions and platform.alerts()))
        seq = (await _settled(gateway))[0].seq
        if name == "discord":
            call = platform.case.pressed(platform, seq)
        else:
            call = (await _captured(platform, lambda: platform.press(seq, approve=True)))[0]
        answers = await _send(gateway, f"/webhooks/{name}", call)
        await _until(lambda: any("bad" in text for text in platform.texts()))
        records = await _settled(gateway)
        shown = sum("bad" in text for text in platform.texts())
        return Copies(answers, len(records), len(platform.deletions), sum(map(_done, records)), shown)


async def of_a_delivery(directory: Path) -> Copies:
    """By Standard Webhooks, which no platform stands behind."""
    case = StandardDeliveries()
    call = (case.call(), case.headers(case.call(), now()))
    async with gateway_on(directory, Settings(webhooks=WebhookSettings(**case.settings))) as gateway:
        answers = await _send(gateway, "/webhooks/generic", call)
        return Copies(answers, len(await _settled(gateway)), 0, 0)


SERVERS: Final[dict[str, tuple[Callable[[], AbstractAsyncContextManager[Any]], dict[str, Any]]]] = {
    "discord": (discord_server, {}),
    "slack": (slack_server, {}),
    "telegram": (telegram_server, TelegramUpdates.settings),
    "twitch": (twitch_server, TwitchEvents.settings | {"automod": False}),
}


@asynccontextmanager
async def _served(name: str, directory: Path) -> AsyncIterator[tuple[Any, Gateway]]:
    opened, more = SERVERS[name]
    async with opened() as platform:
        if name == "discord":
            platform.case = DiscordInteractions()
            more = {"public_key": platform.case.settings["public_key"]}
        table = platform.settings | more | {"type": name, "enforce": True}
        async with gateway_on(directory, Settings(sources=(table,), policy=POLICY)) as gateway:
            if name == "twitch":
                await _until(lambda: len(platform.subscriptions) == 3)
            yield platform, gateway


async def _captured(platform: Any, what: Callable[[], Any]) -> list[Call]:
    """The calls that something brings about, which are then taken for made."""
    calls: list[Call] = []

    async def deliver(body: bytes, headers: dict[str, str]) -> int:
        calls.append((body, headers))
        return 200

    platform.deliver = deliver
    await what()
    return calls


async def _send(gateway: Gateway, path: str, call: Call, copies: int = COPIES) -> tuple[int, ...]:
    body, headers = call
    answers = await asyncio.gather(*(gateway.http.post(path, content=body, headers=headers) for _ in range(copies)))
    return tuple(answer.status_code for answer in answers)


async def _settled(gateway: Gateway) -> list[Record]:
    """The audit, once nothing is left to decide or to do."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if not await gateway.waiting() and not await gateway.app.store.ask(OutboxDepth()):
                records = await gateway.app.store.ask(RecordsAfter(seq=0, limit=1000))
                if records:
                    return records
            await asyncio.sleep(0.02)


def _done(record: Record) -> int:
    return sum(each.action == "delete" and each.state is OutcomeState.DONE for each in record.outcomes)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.02)
