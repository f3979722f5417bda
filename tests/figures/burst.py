"""A burst of messages on Discord, a fifth of them to be deleted, against the command as its users run it."""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.end_to_end.platforms import BAD, POLICY, Moderated
from tests.servers.discord import DiscordPlatform, Failure, discord_server

PATIENCE: Final = 240.0
DELETES: Final = '[policy.actions]\nblock = ["delete"]\n'
KINDS: Final = (
    Failure(429, 1),
    Failure(429, 0.4, scope="global"),
    Failure(429, 0.3, scope="shared"),
    Failure(429, 0.2, date=True),
    Failure(429, 0.4, via=False),
    Failure(503),
)
"""Seconds whole and with a fraction, a date, everything, a shared resource, what stands before Discord, a fault."""


@dataclass(frozen=True)
class Burst:
    """`left`: messages that were to be deleted and are seen still, `kept`: all that are; `waits`: seconds, sorted."""

    messages: int
    bad: int
    left: int
    kept: int
    calls: int
    limited: int
    early: int
    invalid: int
    waits: tuple[float, ...]

    def at(self, share: float) -> float:
        """Seconds from a message to the call that deletes it, for this share of messages at most."""
        return self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))]


async def burst(directory: Path, messages: int, *, rate: float, every: int = 0) -> Burst:
    """What becomes of so many messages, written at a rate a second.

    Args:
        every: of so many calls one is answered 429, each time in another way; 0: none is.
    """
    async with discord_server() as discord:
        moderator = moderated(directory, discord)
        await moderator.start()
        await until(lambda: bool(discord.sessions))
        await discord.say(BAD)  # the connection that acts stands from now on
        await until(lambda: bool(discord.deletions))
        discord.said.clear()
        discord.asked.clear()
        already, kinds = len(discord.calls), itertools.cycle(KINDS)
        if every:
            discord.failures = [next(kinds) if n % every == every - 1 else None for n in range(messages)]
        refusals = len(discord.failures)
        begun, bad = time.monotonic(), []
        for number in range(messages):
            await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
            toxic = number % 5 == 0
            text = f"{BAD} {number}" if toxic else f"good game everyone, see you at {number}"
            # Limited, in one channel: a call that is under way while another is answered "global" came too early to
            # the server, and is no fault.
            channel = "random" if number % 2 and not every else "general"
            identifier = await discord.say(text, author=f"a{number % 50}", channel=channel)
            if toxic:
                bad.append(identifier)
        await until(lambda: not any(each in discord.messages for each in bad))
        seen = refusals - len(discord.failures)
        refused = sum(1 for n in range(seen) if every and n % every == every - 1)
        await moderator.stop()
    assert discord.complaints == []
    return Burst(
        messages=messages,
        bad=len(bad),
        left=sum(each in discord.messages for each in bad),
        kept=len(discord.visible("general")) + len(discord.visible("random")),
        calls=len([call for call in discord.calls[already:] if call[1] in {"DELETE", "POST"}]),
        limited=refused,
        early=len(discord.early),
        invalid=len(discord.invalid),
        waits=tuple(sorted(discord.asked[each] - discord.said[each] for each in bad)),
    )


def moderated(directory: Path, discord: DiscordPlatform) -> Moderated:
    table = discord.settings | {"type": "discord", "token": "${BOT_TOKEN}", "enforce": True}
    moderator = Moderated(directory, table, {"BOT_TOKEN": discord.given_token})
    moderator.settings.write_text(moderator.settings.read_text().replace(POLICY, DELETES))
    return moderator


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.01)
