"""Redis or Valkey as the queue: a stream a lane, leased whole by scripts that run inside the server."""

import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, Final

from redis import exceptions
from redis.asyncio import Redis

from chat_moderator.errors import ConfigError, OverloadedError, StaleLeaseError, TransientError
from chat_moderator.protocols import Queue
from chat_moderator.queues.envelope import EnvelopeLease, Parcel, Settlement, seal
from chat_moderator.queues.redis_scripts import DEPTH, KEYS, LEASE, PUT, RENEW, SETTLE
from chat_moderator.store.intake import LEAST
from chat_moderator.store.migrations import LANES
from chat_moderator.types import Depth, Message, Struct

LARGEST: Final = 4 * 1024 * 1024
"""Bytes an envelope; Redis itself would take 512 MB."""

TIMEOUT: Final = 5.0
DURABLE: Final = {"appendonly": "yes", "appendfsync": "always"}

log = logging.getLogger(__name__)


class Config(Struct, frozen=True):
    """`url`: `redis://`, `rediss://` or `unix://`; `name`: what all keys begin with.

    `capacity`: messages that may wait; `lease`: seconds a worker has for a batch.
    """

    url: str = "redis://127.0.0.1:6379"
    name: str = "chat-moderator"
    capacity: int = 1_000_000
    lease: float = 30.0


class _Token(Struct, frozen=True):
    epoch: int
    lane: int


class RedisQueue(Queue):
    """Implements `Queue`; every step is one script, and leases run by the server's clock."""

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or Config()
        try:
            self._redis: Redis = Redis.from_url(
                self._config.url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, health_check_interval=15
            )
        except ValueError as problem:
            raise ConfigError(
                "queue.url", f"it has to begin with redis://, rediss:// or unix://: {problem}"
            ) from problem
        self._keys = [f"{{{self._config.name}}}:{key}" for key in KEYS]
        self._put, self._lease, self._renew, self._settle, self._depth = (
            self._redis.register_script(script) for script in (PUT, LEASE, RENEW, SETTLE, DEPTH)
        )

    async def open(self) -> None:
        """See `Queue.open`."""
        async with self._translated():
            await self._depth(keys=self._keys, args=[LANES])
        with contextlib.suppress(exceptions.RedisError):  # a managed server may not tell
            found = await self._redis.config_get("append*")
            lacking = [f"{key} {value}" for key, value in DURABLE.items() if found.get(key) != value]
            if lacking:
                log.warning("a power failure of the Redis server can lose messages: set %s", " and ".join(lacking))

    async def put(self, messages: Sequence[Message]) -> int:
        """See `Queue.put`."""
        envelopes = seal(messages, largest=LARGEST)
        arguments: list[Any] = [self._config.capacity]
        for each in envelopes:
            arguments += (each.lane, each.count, each.data)
        async with self._translated():
            waiting = await self._put(keys=self._keys, args=arguments)
        if waiting >= 0:
            raise OverloadedError(f"{waiting} messages wait already", retry_after=timedelta(seconds=1))
        return len(messages)

    async def lease(self, limit: int, *, wait: timedelta) -> EnvelopeLease | None:
        """See `Queue.lease`."""
        deadline = time.monotonic() + wait.total_seconds()
        while True:
            since = time.monotonic()
            async with self._translated():
                epoch, rung, *rows = await self._lease(
                    keys=self._keys, args=[LANES, limit, round(1000 * self._config.lease), LEAST]
                )
                if rows:
                    parcels = [_parcel(epoch, *row) for row in rows]
                    return EnvelopeLease(self, parcels, self._config.lease, since)
                left = round(1000 * (deadline - time.monotonic()))
                if left <= 0:
                    return None
                # Woken by what is put or settled; what is delayed, or leased by one who died, is looked for again.
                await self._redis.xread({self._keys[4]: rung}, block=min(left, 100))

    async def depth(self) -> Depth:
        """See `Queue.depth`."""
        async with self._translated():
            waiting, leased, delayed, dead, oldest = await self._depth(keys=self._keys, args=[LANES])
        return Depth(
            waiting=waiting, leased=leased, delayed=delayed, dead=dead, oldest=timedelta(milliseconds=max(0, oldest))
        )

    async def settle(self, settlement: Settlement) -> None:
        """See `Broker.settle`: one script, all or nothing."""
        tokens = [parcel.token for parcel in settlement.parcels]
        lanes = dict.fromkeys(token.lane for token in tokens)
        arguments: list[Any] = [tokens[0].epoch, len(lanes), *lanes]
        arguments += (round(1000 * settlement.delay.total_seconds()), len(settlement.again))
        for each in settlement.again:
            arguments += (each.lane, uuid.uuid4().hex, each.data)
        arguments += (each.data for each in settlement.dead)
        async with self._translated():
            if not await self._settle(keys=self._keys, args=arguments):
                raise StaleLeaseError("the lease ran out and was taken over")

    async def extend(self, parcels: Sequence[Parcel]) -> None:
        """See `Broker.extend`."""
        lanes = dict.fromkeys(parcel.token.lane for parcel in parcels)
        arguments = [parcels[0].token.epoch, round(1000 * self._config.lease), *lanes]
        async with self._translated():
            if not await self._renew(keys=self._keys, args=arguments):
                raise StaleLeaseError("the lease ran out and was taken over")

    async def aclose(self) -> None:
        """See `Queue.aclose`."""
        await self._redis.aclose()

    @contextlib.asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except (exceptions.AuthenticationError, exceptions.NoPermissionError) as problem:
            raise ConfigError("queue.url", f"Redis refuses this user or password: {problem}") from problem
        except exceptions.OutOfMemoryError as problem:
            raise OverloadedError(f"Redis is full: {problem}", retry_after=timedelta(seconds=1)) from problem
        except (exceptions.ResponseError, exceptions.DataError) as problem:
            if "WRONGTYPE" in str(problem):
                raise ConfigError(
                    "queue.name", f"another program keeps something under {self._config.name!r}: choose another name"
                ) from problem
            raise TransientError(f"Redis cannot do this now: {problem}") from problem
        except (exceptions.RedisError, OSError) as problem:
            raise TransientError(f"Redis cannot be reached: {problem}") from problem


def _parcel(epoch: int, lane: int, entry: bytes, attempts: int, data: bytes) -> Parcel:
    milliseconds = int(entry.partition(b"-")[0])
    return Parcel(data, milliseconds / 1000, attempts, _Token(epoch, lane))
