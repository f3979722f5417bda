"""The decision feed: every sink reads the audit in order, from a place that survives a restart."""

import asyncio
import logging
from typing import Final

from chat_moderator.errors import TransientError
from chat_moderator.protocols import Sink
from chat_moderator.store.audit import Cursor, MoveCursor, RecordsAfter
from chat_moderator.store.database import Store

log = logging.getLogger(__name__)

BATCH: Final = 500


class SinkFeed:
    """Hands committed records to one sink, at least once and in order; a sick sink waits alone.

    Args:
        name: of the sink; its place in the feed is kept under it.
    """

    def __init__(self, store: Store, name: str, sink: Sink) -> None:
        self._store = store
        self._name = name
        self._sink = sink
        self._wake = asyncio.Event()
        self._stopping = False
        self._turn = asyncio.Lock()

    def wake(self) -> None:
        """Looks for new records now."""
        self._wake.set()

    def stop(self) -> None:
        """Lets `run` return after the batch under way."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Feeds the sink until stopped, then closes it."""
        pause = 1.0
        while not self._stopping:
            self._wake.clear()
            try:
                while await self._feed() and not self._stopping:
                    pause = 1.0
                wait = 60.0
            except TransientError as problem:
                log.warning("sink %s cannot take records for now: %s", self._name, problem)
                wait = problem.retry_after.total_seconds() if problem.retry_after else pause
                pause = min(2 * pause, 60.0)
            except Exception:
                log.exception("sink %s failed in a way that was not foreseen", self._name)
                wait, pause = pause, min(2 * pause, 60.0)
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue
        await self._sink.aclose()

    async def erase(self, author_id: str, *, platform: str | None) -> None:
        """Has the sink forget an author; what it is handed afterwards is read anew."""
        async with self._turn:
            await self._sink.erase(author_id, platform=platform)

    async def _feed(self) -> bool:
        async with self._turn:
            return await self._hand_over()

    async def _hand_over(self) -> bool:
        seq = await self._store.ask(Cursor(name=self._name))
        records = await self._store.ask(RecordsAfter(seq=seq, limit=BATCH))
        if not records:
            return False
        await self._sink.write(records)
        await self._store.execute(MoveCursor(name=self._name, seq=records[-1].seq))
        return True
