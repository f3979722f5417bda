"""Timeouts in IRC, which has none: a mask on a channel's list that silences, taken off when its time is over.

What is to be taken off is kept where bookmarks are, so that it is taken off after a restart too.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec
from ircstates.server import Server

from chat_moderator.errors import PermanentError, TransientError
from chat_moderator.protocols import Intake
from chat_moderator.sources.irc_client import IrcClient, has_refused
from chat_moderator.types import now

log = logging.getLogger(__name__)

PLACE: Final = "timeouts"
PAUSE: Final = 5.0
"""Seconds after a failure before it is tried again."""


class Mute(msgspec.Struct, frozen=True):
    """One mask that silences an author; `until` in Unix seconds."""

    channel: str
    author: str
    mode: str
    mask: str
    until: float


_MUTES: Final = msgspec.json.Decoder(list[Mute])


class IrcMutes:
    """The timeouts of one connection.

    Args:
        client: of the connection.
        clock: Unix seconds.
    """

    def __init__(self, client: IrcClient, clock: Callable[[], float] = lambda: now().timestamp()) -> None:
        self._client = client
        self._clock = clock
        self._intake: Intake | None = None
        self._kept: dict[tuple[str, str], Mute] = {}
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def attach(self, intake: Intake) -> None:
        """Takes up what was kept before a restart."""
        async with self._turn:
            if self._intake is None:
                kept = await intake.bookmark(PLACE)
                self._kept = {(mute.channel, mute.author): mute for mute in (_MUTES.decode(kept) if kept else ())}
            self._intake = intake

    async def mute(self, channel: str, author: str, mask: str, length: timedelta) -> None:
        """Puts the mask on the list, and remembers when to take it off; once more only moves the time."""
        async with self._turn:
            if self._intake is None:
                raise TransientError("timeouts are ended by the connection that reads, which does not run")
            mode, mask = silencing((await self._client.session()).state, mask)
            self._client.places.demand(channel)
            before = self._kept.get((channel, author))
            if before is not None and before.mask != mask:
                await self._set("-", before)
            mute = Mute(channel, author, mode, mask, self._clock() + length.total_seconds())
            if before is None and await self._is_listed(mute):
                return  # somebody else's, and not ours to take off
            await self._keep((channel, author), mute)  # first, so that a crash leaves nobody silenced for ever
            try:
                await self._set("+", mute)
            except PermanentError:
                await self._keep((channel, author), None)
                raise
            self._changed.set()

    async def unmute(self, channel: str, author: str) -> None:
        """Takes the mask off, where it was put by `mute`."""
        async with self._turn:
            mute = self._kept.get((channel, author))
            if mute is not None:
                await self._client.session()
                self._client.places.demand(channel)
                await self._set("-", mute)
                await self._keep((channel, author), None)

    async def run(self) -> None:
        """Ends timeouts when they are over, until cancelled."""
        while True:
            wait = await self._end_due()
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    async def _end_due(self) -> float | None:
        """Seconds until it is to be called again; None where nothing is to be ended."""
        at, failed = self._clock(), False
        for (channel, author), mute in list(self._kept.items()):
            if mute.until > at:
                continue
            topic = f"timeout {channel} {author}"
            try:
                await self.unmute(channel, author)
            except TransientError as problem:
                log.warning("a timeout waits to be ended: %s", problem)
                failed = True
            except PermanentError as problem:
                self._client.report(topic, f"the timeout of {author} cannot be ended and is tried again: {problem}")
                failed = True
            else:
                self._client.report(topic, "")
        if failed:
            return PAUSE
        untils = [mute.until for mute in self._kept.values()]
        return max(0.0, min(untils) - self._clock()) if untils else None

    async def _is_listed(self, mute: Mute) -> bool:
        answers = await self._client.ask("MODE", mute.channel, f"+{mute.mode}")
        fold = (await self._client.session()).state.casefold
        return any(
            line.command in {"367", "728"} and fold(mute.mask) in {fold(param) for param in line.params[2:]}
            for line in answers
        )

    async def _set(self, sign: str, mute: Mute) -> None:
        answers = await self._client.ask("MODE", mute.channel, f"{sign}{mute.mode}", mute.mask)
        if has_refused(answers, "482"):
            raise self._client.places.refused(mute.channel)
        if has_refused(answers, "403", "442"):
            raise TransientError(f"IRC channel {mute.channel}: we are not in it for now")
        refused = has_refused(answers, "478", "472", "501", "696")
        if refused is not None:
            raise PermanentError(
                f"IRC channel {mute.channel}: the server does not take the mask {mute.mask} ({refused.params[-1]}); "
                "where its list is full, let a channel operator clear it"
            )

    async def _keep(self, key: tuple[str, str], mute: Mute | None) -> None:
        assert self._intake is not None  # noqa: S101 -- looked at before
        self._kept.pop(key, None)
        if mute is not None:
            self._kept[key] = mute
        await self._intake.keep(PLACE, msgspec.json.encode(list(self._kept.values())).decode())


def silencing(state: Server, mask: str) -> tuple[str, str]:
    """The channel mode and the mask that silence without keeping out, as far as the server has such.

    A list of its own (`+q`), an extended ban (`m:`, or with a sign before `q:`), else a plain ban, which silences too.
    """
    if "q" in state.isupport.chanmodes.a_modes:
        return "q", mask
    sign, _, kinds = (state.isupport.raw.get("EXTBAN") or "").partition(",")
    for kind in ("m", "q") if not sign else ("q", "m"):
        if kind in kinds:
            return "b", f"{sign}{kind}:{mask}"
    return "b", mask
