"""What each key uses: counted, and held to the limits of the key."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from chat_moderator.errors import ChatModeratorError
from chat_moderator.gateway.auth import VISITOR, Caller
from chat_moderator.gateway.limits import TokenBucket
from chat_moderator.gateway.problems import ProblemError
from chat_moderator.protocols import Clock
from chat_moderator.sinks.metrics import Metrics
from chat_moderator.store.database import Store
from chat_moderator.store.keys import KeyLimits
from chat_moderator.store.usage import AddUsage, Usage, UsageOf
from chat_moderator.types import now

FLUSH: Final = 1.0
"""Seconds until what was counted is in the store."""

Headers = tuple[tuple[bytes, bytes], ...]
log = logging.getLogger(__name__)


class UsageMeter:
    """Counts requests and texts by key; keeps a bucket for each key that has a rate.

    Args:
        clock: seconds that only grow, for rates.
        day_clock: the time in UTC, for quotas.
    """

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        day_clock: Clock = now,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._day_clock = day_clock
        self._buckets: dict[str, tuple[KeyLimits, TokenBucket]] = {}
        self._spent: dict[str, tuple[str, int]] = {}
        self._counted: dict[tuple[str, str], list[int]] = {}
        self._flushing: asyncio.Task[None] | None = None

    def admit(self, caller: Caller) -> Headers:
        """Counts a request; the headers that tell a key with a rate how much is left.

        Raises:
            ProblemError: 429, the key's rate is used up; its headers say until when.
        """
        if caller is VISITOR:
            return ()
        self._count(caller.id, requests=1)
        self._metrics.key_used(caller.id, requests=1)
        if not caller.limits.rate:
            return ()
        bucket = self._bucket(caller)
        wait = bucket.take()
        headers = {
            "x-ratelimit-limit-requests": str(int(caller.limits.at_once)),
            "x-ratelimit-remaining-requests": str(int(bucket.left)),
            "x-ratelimit-reset-requests": f"{bucket.full_in:.3f}s",
        }
        if wait:
            self._refuse(caller, "rate")
            waiting = {"retry-after": str(math.ceil(wait)), "retry-after-ms": str(math.ceil(1000 * wait))}
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"This key may send {caller.limits.rate:g} requests a second, "
                f"{caller.limits.at_once:g} of them at once.",
                headers=headers | waiting,
                reason="rate_limit_exceeded",
            )
        return tuple((name.encode(), value.encode()) for name, value in headers.items())

    async def take(self, caller: Caller, texts: int) -> None:
        """Counts texts that are about to be judged or taken in; of a batch that goes beyond the quota, none is.

        Raises:
            ProblemError: 429, the quota of the day is spent.
        """
        day = self._day()
        quota = caller.limits.quota
        if quota:
            spent = await self._spent_on(caller.id, day)
            if spent + texts > quota:
                self._refuse(caller, "quota")
                raise self._quota_spent(quota, spent)
            self._spent[caller.id] = (day, spent + texts)
        self._count(caller.id, texts=texts)
        self._metrics.key_used(caller.id, texts=texts)

    async def flush(self) -> None:
        """Writes what was counted."""
        counted, self._counted = self._counted, {}
        if not counted:
            return
        usage = tuple(Usage(key, day, *numbers) for (key, day), numbers in counted.items())
        try:
            await self._store.execute(AddUsage(usage=usage))
        except ChatModeratorError as problem:
            log.warning("what keys used could not be kept, it is tried again: %s", problem)
            for each in usage:
                self._add(each.key, each.day, (each.requests, each.texts, each.refused))

    def _bucket(self, caller: Caller) -> TokenBucket:
        limits, bucket = self._buckets.get(caller.id, (None, None))
        if bucket is None or limits != caller.limits:
            bucket = TokenBucket(caller.limits.rate, caller.limits.at_once, clock=self._clock)
            self._buckets[caller.id] = (caller.limits, bucket)
        return bucket

    async def _spent_on(self, key: str, day: str) -> int:
        known = self._spent.get(key)
        if known is None or known[0] != day:
            stored = (await self._store.ask(UsageOf(key=key, day=day))).texts
            known = self._spent.get(key)  # somebody else may have asked meanwhile
            if known is None or known[0] != day:
                known = (day, stored + self._counted.get((key, day), [0, 0, 0])[1])
                self._spent[key] = known
        return known[1]

    def _quota_spent(self, quota: int, spent: int) -> ProblemError:
        at = self._day_clock()
        midnight = datetime(at.year, at.month, at.day, tzinfo=at.tzinfo) + timedelta(days=1)
        return ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"This key may have {quota:,} texts judged a day (UTC) and has used {spent:,}.",
            headers={"retry-after": str(math.ceil((midnight - at).total_seconds()))},
            reason="quota",
        )

    def _refuse(self, caller: Caller, limit: str) -> None:
        self._count(caller.id, refused=1)
        self._metrics.key_refused(caller.id, limit)

    def _day(self) -> str:
        return self._day_clock().date().isoformat()

    def _count(self, key: str, *, requests: int = 0, texts: int = 0, refused: int = 0) -> None:
        self._add(key, self._day(), (requests, texts, refused))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush_later())

    def _add(self, key: str, day: str, numbers: Iterable[int]) -> None:
        counted = self._counted.setdefault((key, day), [0, 0, 0])
        for index, number in enumerate(numbers):
            counted[index] += number

    async def _flush_later(self) -> None:
        await asyncio.sleep(FLUSH)
        await self.flush()

    async def aclose(self) -> None:
        """Writes what is left."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
        await self.flush()
