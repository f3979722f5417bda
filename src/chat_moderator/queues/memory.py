"""A queue in memory: for tests, examples and functions. Nothing in it survives the process."""

import asyncio
import heapq
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from chat_moderator.errors import ConflictError, OverloadedError, StaleLeaseError
from chat_moderator.protocols import Clock
from chat_moderator.types import Depth, Message, Struct, now


class Config(Struct, frozen=True):
    """`capacity`: messages that may wait before the intake refuses; `lease`: seconds a worker has for a batch."""

    capacity: int = 100_000
    lease: float = 30.0


class _Entry(Struct, frozen=True):
    message: Message
    received_at: datetime
    attempts: int = 1


class MemoryQueue:
    """Implements `Queue` with lists; a channel is leased by one caller at a time."""

    def __init__(self, config: Config | None = None, *, clock: Clock = now) -> None:
        self._config = config or Config()
        self._clock = clock
        self._seen: dict[tuple[str, str, str, str, int], str] = {}
        self._waiting: list[_Entry] = []
        self._delayed: list[tuple[datetime, int, _Entry]] = []
        self._order = itertools.count()
        self._leases: dict[int, MemoryLease] = {}
        self.dead: list[tuple[Message, str]] = []

    async def open(self) -> None:
        """Needs nothing."""

    async def put(self, messages: Sequence[Message]) -> int:
        """See `Queue.put`."""
        if len(self._waiting) + len(messages) > self._config.capacity:
            raise OverloadedError(f"{len(self._waiting)} messages wait already", retry_after=timedelta(seconds=1))
        fresh: dict[tuple[str, str, str, str, int], Message] = {}
        for index, message in enumerate(messages):
            known = self._seen.get(message.key)
            if known is None and message.key in fresh:
                known = fresh[message.key].text
            if known is not None and known != message.text:
                raise ConflictError(index, message.id)
            if known is None:
                fresh[message.key] = message
        self._seen.update((key, message.text) for key, message in fresh.items())
        at = self._clock()
        self._waiting += [_Entry(message, at) for message in fresh.values()]
        return len(fresh)

    async def lease(self, limit: int, *, wait: timedelta) -> "MemoryLease | None":
        """See `Queue.lease`."""
        deadline = asyncio.get_running_loop().time() + wait.total_seconds()
        while not (entries := self._take(limit)):
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return None
            await asyncio.sleep(min(left, 0.01))
        lease = MemoryLease(self, next(self._order), entries)
        self._leases[lease.epoch] = lease
        await lease.renew()
        return lease

    async def depth(self) -> Depth:
        """See `Queue.depth`."""
        leased = sum(len(lease.entries) for lease in self._leases.values())
        oldest = self._clock() - self._waiting[0].received_at if self._waiting else timedelta()
        return Depth(
            waiting=len(self._waiting), leased=leased, delayed=len(self._delayed), dead=len(self.dead), oldest=oldest
        )

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def _take(self, limit: int) -> list[_Entry]:
        at = self._clock()
        while self._delayed and self._delayed[0][0] <= at:
            self._waiting.append(heapq.heappop(self._delayed)[2])
        for lease in [lease for lease in self._leases.values() if lease.until <= at]:
            del self._leases[lease.epoch]
            lost = [_Entry(entry.message, entry.received_at, entry.attempts + 1) for entry in lease.entries]
            self._waiting[:0] = lost
        busy = {_channel(entry) for lease in self._leases.values() for entry in lease.entries}
        taken = [entry for entry in self._waiting if _channel(entry) not in busy][:limit]
        chosen = {id(entry) for entry in taken}
        self._waiting = [entry for entry in self._waiting if id(entry) not in chosen]
        return taken


class MemoryLease:
    """Implements `Lease`."""

    def __init__(self, queue: MemoryQueue, epoch: int, entries: list[_Entry]) -> None:
        self._queue = queue
        self.epoch = epoch
        self.entries = entries
        self.until = datetime.max.replace(tzinfo=UTC)
        self.messages: Sequence[Message] = [entry.message for entry in entries]
        self.attempts: Sequence[int] = [entry.attempts for entry in entries]
        self.received_at: Sequence[datetime] = [entry.received_at for entry in entries]
        self._settled: set[int] = set()

    async def renew(self) -> None:
        """See `Lease.renew`."""
        self._check()
        self.until = self._queue._clock() + timedelta(seconds=self._queue._config.lease)  # noqa: SLF001 -- its own queue

    async def retry(self, indexes: Sequence[int], *, delay: timedelta) -> None:
        """See `Lease.retry`."""
        self._check()
        due = self._queue._clock() + delay  # noqa: SLF001
        for index in indexes:
            entry = self.entries[index]
            again = _Entry(entry.message, entry.received_at, entry.attempts + 1)
            heapq.heappush(self._queue._delayed, (due, next(self._queue._order), again))  # noqa: SLF001

    async def bury(self, indexes: Sequence[int], *, reason: str) -> None:
        """See `Lease.bury`."""
        self._check()
        self._queue.dead += [(self.entries[index].message, reason) for index in indexes]

    async def ack(self) -> None:
        """See `Lease.ack`."""
        self._check()
        del self._queue._leases[self.epoch]  # noqa: SLF001

    def _check(self) -> None:
        if self._queue._leases.get(self.epoch) is not self:  # noqa: SLF001
            raise StaleLeaseError("the lease ran out and was taken over")


def _channel(entry: _Entry) -> tuple[str, str, str]:
    message = entry.message
    return message.client, message.platform, message.channel
