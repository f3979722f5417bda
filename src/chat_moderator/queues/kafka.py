"""Kafka as the queue: a topic whose partitions hold the lanes, one for retries, one for dead letters.

A partition is leased whole, by the one worker that the group gave it to; to settle is to commit its offset.
"""

import asyncio
import contextlib
import itertools
import logging
import ssl
import time
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition, errors
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from chat_moderator.errors import ConfigError, StaleLeaseError, TransientError
from chat_moderator.protocols import Queue
from chat_moderator.queues.envelope import EnvelopeLease, Parcel, Room, Sealed, Settlement, seal
from chat_moderator.types import Depth, Message, Struct, now

LARGEST: Final = 900_000
"""Bytes an envelope; a broker's own default limit is a megabyte."""

GLANCE: Final = 16 * 1024
"""Bytes of a partition that are read to see how old its first record is; a larger record comes all the same."""

TIMEOUT: Final = 5.0
PATIENCE: Final = 5.0
"""Seconds that leases have to be settled in before their partitions go to another worker."""

DUE: Final = "due"

TALKATIVE: Final = (
    "aiokafka",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)
"""Loggers of the library that tell of each failed try, dozens a second while no broker can be reached."""

log = logging.getLogger(__name__)


class Config(Struct, frozen=True):
    """`url`: bootstrap servers, separated by commas; `name`: the topics are NAME, NAME-retries and NAME-dead.

    `create`: makes those that are missing, with so many `partitions` and `replicas`; `security`: PLAINTEXT, SSL,
    SASL_PLAINTEXT or SASL_SSL, with `mechanism`, `user` and `password`; `capacity`: envelopes that may wait; `lease`:
    seconds a worker has for a batch; `session`: seconds after which a worker that is not heard of loses its partitions.
    """

    url: str = "127.0.0.1:9092"
    name: str = "chat-moderator"
    create: bool = False
    partitions: int = 16
    replicas: int = 1
    security: str = "PLAINTEXT"
    mechanism: str = "PLAIN"
    user: str = ""
    password: str = ""
    capacity: int = 100_000
    lease: float = 30.0
    session: float = 10.0


class _Token(Struct, frozen=True):
    number: int
    partition: TopicPartition
    offset: int


class _Held(Struct, frozen=True):
    """A leased partition: by which lease, from and through which offset, until when on the monotonic clock."""

    number: int
    first: int
    through: int
    until: float


class _Seldom(logging.Filter):
    """Lets one error through in five seconds, and all that is less."""

    def __init__(self) -> None:
        super().__init__()
        self._until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR:
            return True
        if record.created < self._until:
            return False
        self._until = record.created + 5.0
        return True


SELDOM: Final = _Seldom()


class KafkaQueue(ConsumerRebalanceListener, Queue):  # type: ignore[misc]  # the library is untyped
    """Implements `Queue` on a consumer group, joined with the first lease: who only puts takes no partition."""

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or Config()
        for name in TALKATIVE:
            logging.getLogger(name).addFilter(SELDOM)  # once, however often it is added
        self._main, self._retries, self._dead = (self._config.name + kind for kind in ("", "-retries", "-dead"))
        self._opening = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._watcher: AIOKafkaConsumer | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._room = Room(self._config.capacity)
        self._numbers = itertools.count()
        self._held: dict[TopicPartition, _Held] = {}
        self._lost: dict[TopicPartition, tuple[int, int]] = {}
        self._asleep: dict[TopicPartition, float] = {}
        self._rebalancing = False
        self._size = 1.0

    async def open(self) -> None:
        """See `Queue.open`."""
        async with self._connected():
            pass

    async def put(self, messages: Sequence[Message]) -> int:
        """See `Queue.put`."""
        envelopes = seal(messages, largest=LARGEST)
        async with self._connected() as producer:
            if self._room.stale:
                self._room.measured(await self._depth())
            self._room.take(len(envelopes))
            await self._send(producer, self._main, envelopes)
        return len(messages)

    async def lease(self, limit: int, *, wait: timedelta) -> EnvelopeLease | None:
        """See `Queue.lease`."""
        deadline = time.monotonic() + wait.total_seconds()
        async with self._connected():
            consumer = await self._joined()
            while True:
                async with self._turn:
                    self._take_back(consumer)
                    left = max(0.0, deadline - time.monotonic())
                    lease = await self._fetch(consumer, limit, min(left, 0.1))
                if lease is not None or not left:
                    return lease
                await asyncio.sleep(0)

    async def depth(self) -> Depth:
        """See `Queue.depth`: in envelopes; `leased` is this process's; `oldest` is of what is not settled."""
        async with self._connected(), self._looking:
            depth = await self._depth()
            return msgspec.structs.replace(depth, oldest=await self._oldest())

    async def settle(self, settlement: Settlement) -> None:
        """See `Broker.settle`."""
        last = {parcel.token.partition: parcel.token for parcel in settlement.parcels}
        self._check(last.values())
        async with self._connected() as producer:
            await self._send(producer, self._dead, settlement.dead)
            await self._send(producer, self._retries, settlement.again, delay=settlement.delay)
            assert self._consumer is not None  # noqa: S101 -- there is a lease
            try:
                await self._consumer.commit({partition: token.offset + 1 for partition, token in last.items()})
            except (errors.CommitFailedError, errors.IllegalStateError) as problem:
                raise StaleLeaseError("the partitions are another worker's now") from problem
        for partition in last:
            self._held.pop(partition, None)
            self._lost.pop(partition, None)

    async def extend(self, parcels: Sequence[Parcel]) -> None:
        """See `Broker.extend`: the group's heartbeats do it, here it is made sure that they were heard."""
        last = {parcel.token.partition: parcel.token for parcel in parcels}
        self._check(last.values())
        until = time.monotonic() + self._config.lease
        for partition in last:
            held = self._held[partition]
            self._held[partition] = _Held(held.number, held.first, held.through, until)

    async def aclose(self) -> None:
        """See `Queue.aclose`."""
        self._held.clear()
        for client in (self._consumer, self._watcher, self._producer):
            if client is not None:
                with contextlib.suppress(errors.KafkaError):
                    await client.stop()

    async def on_partitions_revoked(self, _: Collection[TopicPartition]) -> None:
        """Called by the consumer before another worker gets them: what is leased is settled first."""
        self._rebalancing = True
        deadline = time.monotonic() + PATIENCE
        while self._held and time.monotonic() < deadline:
            self._held = {partition: held for partition, held in self._held.items() if held.until > time.monotonic()}
            await asyncio.sleep(0.01)
        self._held.clear()

    async def on_partitions_assigned(self, _: Collection[TopicPartition]) -> None:
        """Called by the consumer when it has partitions again."""
        self._lost.clear()
        self._asleep.clear()
        self._rebalancing = False

    async def _fetch(self, consumer: AIOKafkaConsumer, limit: int, wait: float) -> EnvelopeLease | None:
        at = now().timestamp()
        self._asleep = {partition: due for partition, due in self._asleep.items() if due > at}
        busy = self._held.keys() | self._asleep.keys()
        free = [partition for partition in consumer.assignment() if partition not in busy]
        if not free or self._rebalancing:
            await asyncio.sleep(min(wait, 0.01))
            return None
        wanted = max(1, round(limit / self._size))
        since, number = time.monotonic(), next(self._numbers)
        found = await consumer.getmany(*free, timeout_ms=round(1000 * wait), max_records=wanted)
        parcels: list[Parcel] = []
        for partition, records in found.items():
            own = self._due(consumer, partition, records)
            if own:
                self._held[partition] = _Held(number, own[0].offset, own[-1].offset, since + self._config.lease)
                parcels += [self._parcel(number, partition, record) for record in own]
        if not parcels:
            return None
        lease = EnvelopeLease(self, parcels, self._config.lease, since)
        self._size += 0.1 * (len(lease.messages) / len(parcels) - self._size)
        return lease

    def _due(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, records: Sequence[ConsumerRecord[Any, bytes]]
    ) -> list[ConsumerRecord[Any, bytes]]:
        """The records up to the first that is not due yet, from which the partition goes on later."""
        at = now().timestamp()
        for index, record in enumerate(records):
            due = float(dict(record.headers).get(DUE, b"0"))
            if due > at:
                self._asleep[partition] = due
                consumer.seek(partition, record.offset)
                return list(records[:index])
        return list(records)

    def _parcel(self, number: int, partition: TopicPartition, record: ConsumerRecord[Any, bytes]) -> Parcel:
        through, lost = self._lost.get(partition, (-1, 0))
        deliveries = lost + 1 if record.offset <= through else 1
        return Parcel(
            record.value or b"", record.timestamp / 1000, deliveries, _Token(number, partition, record.offset)
        )

    def _take_back(self, consumer: AIOKafkaConsumer) -> None:
        """Leases of this process that ran out: their partitions are read again from where they began."""
        at = time.monotonic()
        for partition, held in list(self._held.items()):
            if held.until <= at:
                del self._held[partition]
                self._lost[partition] = (held.through, self._lost.get(partition, (0, 0))[1] + 1)
                if partition in consumer.assignment():
                    consumer.seek(partition, held.first)

    def _check(self, tokens: Collection[_Token]) -> None:
        for token in tokens:
            held = self._held.get(token.partition)
            if held is None or held.number != token.number:
                raise StaleLeaseError("the lease ran out, or its partitions are another worker's now")

    async def _send(
        self, producer: AIOKafkaProducer, topic: str, envelopes: Sequence[Sealed], *, delay: timedelta | None = None
    ) -> None:
        if not envelopes:
            return
        partitions = len(await producer.partitions_for(topic))
        due = now().timestamp() + delay.total_seconds() if delay is not None else 0.0
        headers = [(DUE, str(due).encode())] if due else None
        sent = [
            await producer.send(topic, each.data, partition=each.lane % partitions, headers=headers)
            for each in envelopes
        ]
        await asyncio.gather(*sent)

    async def _depth(self) -> Depth:
        main, retries, dead = [
            sum(end - settled for settled, end in (await self._unsettled(topic)).values())
            for topic in (self._main, self._retries, self._dead)
        ]
        leased = sum(held.through - held.first + 1 for held in self._held.values())
        return Depth(waiting=max(0, main - leased), leased=leased, delayed=retries, dead=dead, oldest=timedelta())

    async def _unsettled(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        """The first offset that the group has not settled and the one behind the last, by partition that has any."""
        watcher = self._watcher
        assert watcher is not None  # noqa: S101 -- it is called within `_connected`
        partitions = [TopicPartition(topic, number) for number in range(self._partitions[topic])]
        starts, ends, *settled = await asyncio.gather(
            watcher.beginning_offsets(partitions),
            watcher.end_offsets(partitions),
            *(watcher.committed(partition) for partition in partitions),
        )
        found = {
            partition: (max(starts[partition], offset or 0), ends[partition])
            for partition, offset in zip(partitions, settled, strict=True)
        }
        return {partition: (first, end) for partition, (first, end) in found.items() if first < end}

    async def _oldest(self) -> timedelta:
        """The age of the oldest record that is not settled: the first of each partition is read, by no group."""
        unsettled = await self._unsettled(self._main)
        watcher = self._watcher
        if not unsettled or watcher is None:
            return timedelta()
        watcher.assign(list(unsettled))
        for partition, (first, _) in unsettled.items():
            watcher.seek(partition, first)
        try:
            async with asyncio.timeout(TIMEOUT):
                records = await asyncio.gather(*(watcher.getone(partition) for partition in unsettled))
        finally:
            watcher.unsubscribe()
        first = min(record.timestamp for record in records) / 1000
        return max(timedelta(), timedelta(seconds=now().timestamp() - first))

    async def _joined(self) -> AIOKafkaConsumer:
        async with self._opening:
            if self._consumer is None:
                consumer = AIOKafkaConsumer(
                    group_id=self._config.name,
                    auto_offset_reset="earliest",
                    enable_auto_commit=False,
                    session_timeout_ms=round(1000 * self._config.session),
                    heartbeat_interval_ms=round(200 * self._config.session),
                    max_poll_interval_ms=24 * 3600 * 1000,  # leases have a time of their own
                    **self._options(),
                )
                consumer.subscribe([self._main, self._retries], listener=self)
                await _started(consumer)
                self._consumer = consumer
            return self._consumer

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[AIOKafkaProducer]:
        try:
            async with self._opening:
                if self._producer is None:
                    await self._connect()
                assert self._producer is not None  # noqa: S101 -- just connected
            yield self._producer
        except (
            errors.AuthenticationFailedError,
            errors.GroupAuthorizationFailedError,
            errors.TopicAuthorizationFailedError,
            errors.SaslAuthenticationFailed,
            errors.UnsupportedSaslMechanismError,
        ) as problem:
            raise ConfigError("queue", f"Kafka refuses this user: {problem}") from problem
        except errors.MessageSizeTooLargeError as problem:
            raise ConfigError(
                "queue", f"the topic takes less than {LARGEST} bytes: raise max.message.bytes"
            ) from problem
        except (errors.KafkaError, OSError, TimeoutError) as problem:
            raise TransientError(f"Kafka cannot do this now: {problem or type(problem).__name__}") from problem

    async def _connect(self) -> None:
        await self._find()
        self._watcher = AIOKafkaConsumer(
            group_id=self._config.name, enable_auto_commit=False, max_partition_fetch_bytes=GLANCE, **self._options()
        )
        await _started(self._watcher)
        producer = AIOKafkaProducer(acks="all", request_timeout_ms=round(1000 * TIMEOUT), **self._options())
        await _started(producer)
        self._producer = producer

    async def _find(self) -> None:
        """Makes sure of the topics, made where that is wanted."""
        admin = AIOKafkaAdminClient(**self._options())
        await _started(admin)
        try:
            names = (self._main, self._retries, self._dead)
            missing = sorted(set(names) - set(await admin.list_topics()))
            if missing and not self._config.create:
                raise ConfigError(
                    "queue.name", f"Kafka has no topic {missing[0]!r}: create it, or set queue.create = true"
                )
            replicas = self._config.replicas
            wanted = [
                NewTopic(name, self._config.partitions if name == self._main else 1, replicas) for name in missing
            ]
            if wanted:
                await admin.create_topics(wanted)
            described = await admin.describe_topics(list(names))
            self._partitions = {each["topic"]: len(each["partitions"]) for each in described}
        finally:
            await admin.close()

    def _options(self) -> dict[str, Any]:
        config = self._config
        options: dict[str, Any] = {"bootstrap_servers": config.url.split(","), "retry_backoff_ms": 200}
        if config.security != "PLAINTEXT":
            options |= {"security_protocol": config.security}
        if config.security.startswith("SASL"):
            options |= {
                "sasl_mechanism": config.mechanism,
                "sasl_plain_username": config.user,
                "sasl_plain_password": config.password,
            }
        if config.security.endswith("SSL"):
            options |= {"ssl_context": ssl.create_default_context()}
        return options


async def _started(client: Any) -> None:
    """Starts a client; one that could not is stopped, as its library asks."""
    try:
        async with asyncio.timeout(4 * TIMEOUT):
            await client.start()
    except BaseException:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())
        raise
