"""Discord's limits, kept on every request of a connection: no call before Retry-After, few invalid requests.

Source: Discord, "Rate limits" and "Invalid request limit" of its developer documentation.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any, Final

import aiohttp

from chat_moderator.errors import TransientError

WINDOW: Final = 600.0
INVALID: Final = frozenset({401, 403, 429})
MOST_INVALID: Final = 800
"""Invalid requests in ten minutes before we stop; Discord bans an address at 10,000."""

PATIENCE: Final = 20.0
"""Seconds that a call waits for its turn; whoever would wait longer is told when to come back."""

Rest = Callable[[float], Awaitable[None]]

_MAJOR: Final = re.compile(r"/(channels|guilds|webhooks)/(\d+)")
_ID: Final = re.compile(r"/\d+")


class DiscordLimits:
    """Watches requests through aiohttp's tracing, below the client library's own rate limiting.

    The library lets other requests of a bucket go on after a 429, and those that waited when a global one came.

    Args:
        clock: seconds that only grow.
        rest: waits that many seconds of it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, rest: Rest = asyncio.sleep) -> None:
        self.clock = clock
        self._rest = rest
        self._global = 0.0
        self._routes: dict[str, float] = {}
        self._invalid: deque[float] = deque()
        self.trace = aiohttp.TraceConfig()
        self.trace.on_request_start.append(self._begin)
        self.trace.on_request_end.append(self._end)

    def wait(self, method: str, path: str) -> float:
        """Seconds until this route may be called."""
        now = self.clock()
        while self._invalid and self._invalid[0] <= now - WINDOW:
            self._invalid.popleft()
        until = max(self._global, self._routes.get(_route(method, path), 0.0))
        if len(self._invalid) >= MOST_INVALID:
            until = max(until, self._invalid[0] + WINDOW)
        return max(0.0, until - now)

    def answered(self, method: str, path: str, status: int, headers: Any) -> None:
        """Takes note of an answer."""
        if status in INVALID:
            self._invalid.append(self.clock())
        if status != 429:  # noqa: PLR2004 -- HTTP's own
            return
        after = retry_after(headers.get("Retry-After", ""))
        until = self.clock() + (after.total_seconds() if after is not None else 1.0)
        # Without Via it is not Discord that answers but what stands before it, which bars the whole address.
        if headers.get("X-RateLimit-Global") or not headers.get("Via"):
            self._global = max(self._global, until)
        else:
            self._routes = {route: moment for route, moment in self._routes.items() if moment > self.clock()}
            self._routes[_route(method, path)] = until

    async def _begin(self, _: object, __: SimpleNamespace, parameters: aiohttp.TraceRequestStartParams) -> None:
        while wait := self.wait(parameters.method, parameters.url.path):
            if wait > PATIENCE:
                raise TransientError("Discord asks to wait", retry_after=timedelta(seconds=wait))
            await self._rest(wait)

    async def _end(self, _: object, __: SimpleNamespace, parameters: aiohttp.TraceRequestEndParams) -> None:
        response = parameters.response
        self.answered(parameters.method, parameters.url.path, response.status, response.headers)


def retry_after(value: str) -> timedelta | None:
    """The time of a Retry-After header: seconds, with a fraction or without, or an HTTP date; None where it is none."""
    try:
        return timedelta(seconds=max(0.0, float(value)))
    except (ValueError, OverflowError):
        pass
    try:
        return max(timedelta(), parsedate_to_datetime(value) - datetime.now(UTC))
    except (ValueError, TypeError):
        return None


def _route(method: str, path: str) -> str:
    """The bucket as far as it can be told beforehand: the method, the path without ids, and the major id."""
    major = _MAJOR.search(path)
    return f"{method} {_ID.sub('/', path)} {major[2] if major else ''}"
