"""The worker: leases batches, has them judged, settles them; what cannot be judged is delayed and at last buried."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from chat_moderator.errors import ChatModeratorError, StaleLeaseError, TransientError
from chat_moderator.moderator.moderator import Moderator, Observer, recorded
from chat_moderator.protocols import AuditStore, Clock, Lease, Queue, TransactionalLease
from chat_moderator.types import Decision, Message, Record, Struct, now

IDLE: Final = timedelta(milliseconds=250)
"""How long a lease is waited for before looking whether to stop."""

LONGEST: Final = 5.0
"""Seconds between two tries at a queue or a store that cannot be used: it is in use again soon after it is back."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class Config(Struct, frozen=True):
    """`batch`: messages a lease; `parallel`: leases at once; `attempts`: tries before a message is buried.

    `back_off`: seconds before the second try, doubled for each further one.
    """

    batch: int = 512
    parallel: int = 3
    attempts: int = 5
    back_off: float = 0.5


class Worker:
    """Drains a queue into a moderator. Runs until `stop`, then finishes what it has leased."""

    def __init__(
        self,
        queue: Queue,
        moderator: Moderator,
        audit: AuditStore,
        observer: Observer,
        *,
        config: Config | None = None,
        clock: Clock = now,
    ) -> None:
        self._queue = queue
        self._moderator = moderator
        self._audit = audit
        self._observer = observer
        self._config = config or Config()
        self._clock = clock
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Works until stopped."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._config.parallel):
                group.create_task(self._drain())

    def stop(self) -> None:
        """Lets `run` return once what is leased is settled."""
        self._stopping.set()

    async def _drain(self) -> None:
        pause = self._config.back_off
        while not self._stopping.is_set():
            try:
                lease = await self._queue.lease(self._config.batch, wait=IDLE)
                if lease is not None:
                    await self.work(lease)
                pause = self._config.back_off
            except StaleLeaseError:
                log.warning("a lease ran out before its batch was done; the batch is judged again")
            except ChatModeratorError as problem:
                log.warning("the queue or the store cannot be used for now: %s", problem)
                pause = min(2 * pause, LONGEST)
                await self._rest(pause)
            except Exception:
                log.exception("a batch failed in a way that was not foreseen; it comes back when its lease runs out")
                await self._rest(pause)

    async def work(self, lease: Lease) -> None:
        """Judges and settles one lease.

        Raises:
            StaleLeaseError: it ran out and is somebody else's; nothing was settled.
        """
        renewal = asyncio.create_task(_renew(lease))
        try:
            records = await self._judge(lease)
            if isinstance(lease, TransactionalLease):
                await lease.commit(records)
                self._tell(records)
            else:
                # What is decided counts even where the ack fails: the next delivery finds it done.
                self._tell(await self._append(lease, records))
                await lease.ack()
        finally:
            renewal.cancel()

    def _tell(self, records: Sequence[Record]) -> None:
        if records:
            self._observer.decided(records)

    async def _append(self, lease: Lease, records: list[Record]) -> list[Record]:
        """Decides once what was delivered twice; the same key with another text goes to the dead letters."""
        appended = await self._patiently(lambda: self._audit.append_once(records), "the audit cannot be written")
        if appended.conflicts:
            indexes = {id(message): index for index, message in enumerate(lease.messages)}
            conflicting = [indexes[id(records[index].message)] for index in appended.conflicts]
            await lease.bury(conflicting, reason="its id was accepted before with another text")
        return [records[index] for index in appended.new]

    async def _judge(self, lease: Lease) -> list[Record]:
        # What was leased before and never settled may have taken its worker down: it is judged alone.
        suspects = [index for index, tried in enumerate(lease.attempts) if tried > 1]
        if not suspects:
            try:
                decided = await self._moderate(lease.messages)
            except TransientError:
                raise
            except Exception as problem:  # noqa: BLE001 -- found by halves below
                log.debug("a batch failed as a whole: %s", problem)
            else:
                return recorded(lease.messages, decided, received_at=lease.received_at, decided_at=self._clock())
        others = [index for index, tried in enumerate(lease.attempts) if tried == 1]
        decisions: dict[int, Decision] = {}
        if others:
            await self._bisect(lease, others, decisions)
        for index in suspects:
            if lease.attempts[index] > self._config.attempts:
                await lease.bury(
                    [index], reason=f"given up after {self._config.attempts} tries, the last without an answer"
                )
            else:
                await self._bisect(lease, [index], decisions)
        done = sorted(decisions)
        return recorded(
            [lease.messages[index] for index in done],
            [decisions[index] for index in done],
            received_at=[lease.received_at[index] for index in done],
            decided_at=self._clock(),
            attempts=[lease.attempts[index] for index in done],
        )

    async def _moderate(self, messages: Sequence[Message]) -> list[Decision]:
        """Judges.

        Raises:
            TransientError: the worker is to stop.
        """
        return await self._patiently(lambda: self._moderator.moderate(messages, urgent=False), "nothing can be judged")

    async def _patiently(self, work: Callable[[], Awaitable[T]], why: str) -> T:
        """Waits while nothing can be done at all, as when a tier elsewhere or the audit's server cannot be reached.

        No message is to blame then, so that none loses a try or its place, and nothing more is leased meanwhile.

        Raises:
            TransientError: the worker is to stop.
        """
        pause = self._config.back_off
        while True:
            try:
                return await work()
            except TransientError as problem:
                if self._stopping.is_set():
                    raise
                log.warning("a batch waits, %s for now: %s", why, problem)
                least = problem.retry_after.total_seconds() if problem.retry_after else 0.0
                await self._rest(max(pause, least))
                pause = min(2 * pause, LONGEST)

    async def _bisect(self, lease: Lease, indexes: Sequence[int], decisions: dict[int, Decision]) -> None:
        """Judges a batch; when it fails, its halves, until the message that fails stands alone."""
        try:
            decided = await self._moderate([lease.messages[index] for index in indexes])
        except TransientError:
            raise
        except Exception as problem:  # noqa: BLE001 -- any failure may be one message's
            if len(indexes) > 1:
                middle = len(indexes) // 2
                await self._bisect(lease, indexes[:middle], decisions)
                await self._bisect(lease, indexes[middle:], decisions)
            else:
                await self._set_aside(lease, indexes[0], problem)
        else:
            decisions.update(zip(indexes, decided, strict=True))

    async def _set_aside(self, lease: Lease, index: int, problem: Exception) -> None:
        tried = lease.attempts[index]
        reason = f"{type(problem).__name__}: {problem}"
        if tried >= self._config.attempts:
            log.error("a message is buried after %d tries: %s", tried, reason)
            await lease.bury([index], reason=reason)
        else:
            await lease.retry([index], delay=timedelta(seconds=self._config.back_off * 2 ** (tried - 1)))

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


async def _renew(lease: Lease, every: float = 10.0) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await lease.renew()
        except TransientError as problem:
            log.warning("a lease could not be renewed: %s", problem)
            return
