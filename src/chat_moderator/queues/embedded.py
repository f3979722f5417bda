"""The default queue: a log in the embedded database, which it shares with the audit unless that is elsewhere."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from chat_moderator.store.database import Store
from chat_moderator.store.intake import AskDepth, Buried, Leased, LeaseMessages, Put, RenewLease, Settle
from chat_moderator.types import Depth, Message, Record, Struct


class Config(Struct, frozen=True):
    """`capacity`: messages that may wait before the intake refuses; `lease`: seconds a worker has for a batch."""

    capacity: int = 1_000_000
    lease: float = 30.0


class EmbeddedQueue:
    """Implements `Queue` on a store; its leases are transactional where the store has the audit too."""

    def __init__(
        self,
        store: Store,
        config: Config | None = None,
        *,
        poll: timedelta = timedelta(milliseconds=100),
        with_audit: bool = True,
    ) -> None:
        self._store = store
        self._lease = EmbeddedAuditLease if with_audit else EmbeddedLease
        self._config = config or Config()
        self._poll = poll.total_seconds()
        self._arrived = asyncio.Event()

    async def open(self) -> None:
        """Needs nothing."""

    async def put(self, messages: Sequence[Message], *, delivery: str = "") -> int:
        """See `Queue.put`. A `delivery` (the id of a webhook call) is taken once, whatever it holds."""
        command = Put(messages=tuple(messages), limit=self._config.capacity, delivery=delivery)
        new = await self._store.execute(command)
        self._arrived.set()
        return new

    async def lease(self, limit: int, *, wait: timedelta) -> "EmbeddedLease | None":
        """See `Queue.lease`."""
        deadline = asyncio.get_running_loop().time() + wait.total_seconds()
        while True:
            self._arrived.clear()
            leased = await self._store.execute(LeaseMessages(limit=limit, seconds=self._config.lease))
            if leased.rows:
                self._arrived.set()  # there may be more, in other lanes
                return self._lease(self._store, leased, self._config.lease, self._arrived.set)
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return None
            try:
                await asyncio.wait_for(self._arrived.wait(), min(left, self._poll))
            except TimeoutError:
                continue

    async def depth(self) -> Depth:
        """See `Queue.depth`."""
        return await self._store.ask(AskDepth())

    async def aclose(self) -> None:
        """The store belongs to whoever made it."""


class EmbeddedLease:
    """Implements `Lease`; `retry` and `bury` take effect with `ack`."""

    def __init__(self, store: Store, leased: Leased, seconds: float, freed: Callable[[], Any]) -> None:
        self._store = store
        self._leased = leased
        self._seconds = seconds
        self._freed = freed
        self._again: list[int] = []
        self._delay = timedelta()
        self._buried: list[Buried] = []
        self.messages: Sequence[Message] = [row.message for row in leased.rows]
        self.attempts: Sequence[int] = [row.attempts for row in leased.rows]
        moments = {at: datetime.fromtimestamp(at, UTC) for at in {row.received_at for row in leased.rows}}
        self.received_at: Sequence[datetime] = [moments[row.received_at] for row in leased.rows]

    async def renew(self) -> None:
        """See `Lease.renew`."""
        await self._store.execute(RenewLease(epoch=self._leased.epoch, lanes=self._leased.lanes, seconds=self._seconds))

    async def retry(self, indexes: Sequence[int], *, delay: timedelta) -> None:
        """See `Lease.retry`; of several delays in one lease the longest counts."""
        self._again += [self._leased.rows[index].seq for index in indexes]
        self._delay = max(self._delay, delay)

    async def bury(self, indexes: Sequence[int], *, reason: str) -> None:
        """See `Lease.bury`."""
        self._buried += [Buried(seq=self._leased.rows[index].seq, reason=reason) for index in indexes]

    async def ack(self) -> None:
        """See `Lease.ack`."""
        await self._settle(())

    async def _settle(self, records: Sequence[Record]) -> None:
        await self._store.execute(
            Settle(
                epoch=self._leased.epoch,
                lanes=self._leased.lanes,
                count=len(self._leased.rows),
                records=tuple(records),
                again=tuple(self._again),
                delay=self._delay.total_seconds(),
                buried=tuple(self._buried),
            )
        )
        self._freed()


class EmbeddedAuditLease(EmbeddedLease):
    """Implements `TransactionalLease`; `retry` and `bury` take effect with `ack` or `commit`."""

    async def commit(self, records: Sequence[Record]) -> None:
        """See `TransactionalLease.commit`."""
        await self._settle(records)
