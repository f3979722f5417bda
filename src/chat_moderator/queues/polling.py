"""A request for messages that outlives the call that began it: given up half-way, it would lose what it brings."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Generic, TypeVar

T = TypeVar("T")


class LongPoll(Generic[T]):
    """One long poll at a time, shared by all who wait.

    Args:
        receive: asks the broker and waits there; empty where nothing came.
    """

    def __init__(self, receive: Callable[[], Awaitable[T]]) -> None:
        self._receive = receive
        self._polling: asyncio.Task[tuple[T, float]] | None = None

    def begin(self) -> "asyncio.Task[tuple[T, float]]":
        """The poll under way; one that failed while nobody waited is old news, and a new one says how things are."""
        polling = self._polling
        if polling is None or (polling.done() and polling.exception() is not None):
            polling = self._polling = asyncio.create_task(self._poll())
        return polling

    def take(self) -> tuple[T, float] | None:
        """What it brought, and when on the monotonic clock; None while it goes on, and for all but the first taker."""
        polling = self._polling
        if polling is None or not polling.done():
            return None
        self._polling = None
        return polling.result()

    async def aclose(self, patience: timedelta) -> T | None:
        """What it brings within `patience`, for nobody took it; then it is given up."""
        polling, self._polling = self._polling, None
        if polling is None:
            return None
        with contextlib.suppress(Exception):  # the broker is let go of
            return (await asyncio.wait_for(polling, patience.total_seconds()))[0]
        return None

    async def _poll(self) -> tuple[T, float]:
        return await self._receive(), time.monotonic()


async def first(polls: Sequence[LongPoll[T]], wait: timedelta) -> tuple[T, float] | None:
    """What one of the polls brings, and when; None where none brings anything within `wait`. They go on then."""
    deadline = time.monotonic() + wait.total_seconds()
    while True:
        left = max(0.0, deadline - time.monotonic())
        await asyncio.wait({poll.begin() for poll in polls}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for poll in polls:
            taken = poll.take()
            if taken is not None and taken[0]:
                return taken
        if not left:
            return None
