"""Gathers calls that come while one is under way into the next, for platforms that take many at once. No timers."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Hashable)


class Gathering(Generic[K, T]):
    """Works on the items of a key together, each once, one call a key at a time.

    Args:
        work: does it for all items of a call; what it raises reaches everybody who gave one of them.
        most: items a call.
    """

    def __init__(self, work: Callable[[K, Sequence[T]], Awaitable[None]], *, most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: dict[K, dict[T, asyncio.Future[None]]] = {}
        self._tasks: dict[K, asyncio.Task[None]] = {}

    async def add(self, key: K, item: T) -> None:
        """Returns once it is done."""
        waiting = self._waiting.setdefault(key, {})
        future = waiting.get(item)
        if future is None:
            future = waiting[item] = asyncio.get_running_loop().create_future()
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._run(key))
        await asyncio.shield(future)

    async def _run(self, key: K) -> None:
        waiting = self._waiting[key]
        try:
            while waiting:
                batch = {item: waiting.pop(item) for item in list(waiting)[: self._most]}
                try:
                    await self._work(key, list(batch))
                except asyncio.CancelledError:
                    for future in batch.values():
                        future.cancel()
                    raise
                except Exception as problem:  # noqa: BLE001 -- each caller gets it, whatever it is
                    for future in batch.values():
                        future.set_exception(problem)
                        future.exception()  # a caller that was cancelled does not ask for it
                else:
                    for future in batch.values():
                        future.set_result(None)
        finally:
            del self._tasks[key], self._waiting[key]
