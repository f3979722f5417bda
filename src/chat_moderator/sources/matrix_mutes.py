"""Timeouts in Matrix, which has none: a power level too low to write, put back when its time is over.

What is to be put back is kept in the account's data on the homeserver, so that it is put back after a restart too.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from chat_moderator.errors import PermanentError, TransientError
from chat_moderator.sources.matrix_client import MatrixClient
from chat_moderator.types import now

log = logging.getLogger(__name__)

KIND: Final = "chat_moderator.timeouts"
PAUSE: Final = 30.0
"""Seconds after a failure before it is tried again."""


class MatrixMutes:
    """The timeouts of one account: `{room: {user: {until, muted, level}}}`, `until` in Unix milliseconds.

    Args:
        client: of the account.
        clock: Unix milliseconds.
    """

    def __init__(self, client: MatrixClient, clock: Callable[[], int] = lambda: int(now().timestamp() * 1000)) -> None:
        self._client = client
        self._clock = clock
        self._kept: dict[str, dict[str, dict[str, Any]]] | None = None
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def mute(self, room: str, user: str, length: timedelta) -> None:
        """Lowers the power level, and remembers when to put it back; once more only moves the time."""
        async with self._turn:
            kept = await self._known()
            levels = await self._levels(room)
            muted = min(0, _int(levels.get("events_default")), *map(_int, levels.get("events", {}).values())) - 1
            before = kept.get(room, {}).get(user)
            entry = {"until": self._clock() + int(length.total_seconds() * 1000), "muted": muted}
            level = before.get("level") if before is not None else levels.get("users", {}).get(user)
            if level is not None:
                entry["level"] = _int(level)
            kept.setdefault(room, {})[user] = entry
            await self._client.keep_account_data(KIND, kept)  # first, so that a crash leaves nobody muted for ever
            try:
                await self._put(room, user, levels, muted)
            except PermanentError:
                await self._forget(room, user)
                raise
            self._changed.set()

    async def unmute(self, room: str, user: str) -> None:
        """Puts the level back, unless somebody changed it meanwhile."""
        async with self._turn:
            entry = (await self._known()).get(room, {}).get(user)
            if entry is None:
                return
            levels = await self._levels(room)
            if levels.get("users", {}).get(user) == entry.get("muted"):
                await self._put(room, user, levels, entry.get("level"))
            await self._forget(room, user)

    async def run(self) -> None:
        """Ends timeouts when they are over, until cancelled."""
        while True:
            wait: float | None = PAUSE
            try:
                await self._end_due()
                wait = self._next()
            except (TransientError, PermanentError) as problem:
                log.warning("a timeout waits to be ended: %s", problem)
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    async def _end_due(self) -> None:
        async with self._turn:
            kept = await self._known()
            due = [
                (room, user)
                for room, users in kept.items()
                for user, entry in users.items()
                if _int(entry.get("until")) <= self._clock()
            ]
        for room, user in due:
            try:
                await self.unmute(room, user)
            except PermanentError as problem:
                log.error("the timeout of %s in room %s cannot be ended: %s", user, room, problem)  # noqa: TRY400
                async with self._turn:
                    await self._forget(room, user)

    def _next(self) -> float | None:
        untils = [_int(entry.get("until")) for users in (self._kept or {}).values() for entry in users.values()]
        return max(0.0, (min(untils) - self._clock()) / 1000) if untils else None

    async def _known(self) -> dict[str, dict[str, dict[str, Any]]]:
        if self._kept is None:
            self._kept = await self._client.account_data(KIND)
        return self._kept

    async def _forget(self, room: str, user: str) -> None:
        kept = await self._known()
        kept.get(room, {}).pop(user, None)
        if not kept.get(room):
            kept.pop(room, None)
        await self._client.keep_account_data(KIND, kept)

    async def _levels(self, room: str) -> dict[str, Any]:
        answer = await self._client.call(
            lambda client: client.room_get_state_event(room, "m.room.power_levels"), "see power levels", room
        )
        levels: dict[str, Any] = answer.content
        return levels

    async def _put(self, room: str, user: str, levels: dict[str, Any], level: int | None) -> None:
        users = {**levels.get("users", {})}
        if level is None:
            users.pop(user, None)
        else:
            users[user] = level
        if users == levels.get("users", {}):
            return
        changed = {**levels, "users": users}
        await self._client.call(
            lambda client: client.room_put_state(room, "m.room.power_levels", changed),
            f"change power levels, and a higher one than {user},",
            room,
        )


def _int(value: Any) -> int:
    """A level; old rooms have them as text."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
