"""NATS JetStream as the queue: a work-queue stream whose subjects are lanes, each leased by its own consumer.

A lane's consumer has at most one envelope out, and whoever holds that one has the lane: what follows is read directly
and purged with it. So the server itself keeps two workers off one channel, counts deliveries and takes
back what was lost.
"""

import asyncio
import contextlib
import itertools
import logging
import math
import random
import re
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from chat_moderator.errors import ConfigError, TransientError
from chat_moderator.protocols import Queue
from chat_moderator.queues.envelope import EnvelopeLease, Parcel, Room, Sealed, Settlement, seal
from chat_moderator.store.intake import LEAST
from chat_moderator.store.migrations import LANES
from chat_moderator.types import Depth, Message, Struct, now

TIMEOUT: Final = 5.0
POLL: Final = 0.2
"""Seconds between two looks where nobody says that something came."""

CAREFUL: Final = 512
"""Messages of a lane that are leased an envelope at a time after one of its leases was lost."""

PROBES: Final = 5
"""How often within a lease's time a lane that somebody has is asked for."""

DELAY: Final = "Chat-Moderator-Delay"
HEADROOM: Final = 1024
"""Bytes of a message that subject and headers may take."""

MISSING: Final = frozenset({10014, 10059})
"""JetStream's codes for a consumer or a stream that is not there."""

log = logging.getLogger(__name__)


class Config(Struct, frozen=True):
    """`url`: `nats://` or `tls://`, several separated by commas; `credentials`: a file; `name`: of stream and subjects.

    `replicas`: copies of the stream, where it has to be made; `capacity`: messages that may wait; `lease`: seconds a
    worker has for a batch.
    """

    url: str = "nats://127.0.0.1:4222"
    credentials: str = ""
    name: str = "chat-moderator"
    replicas: int = 1
    capacity: int = 1_000_000
    lease: float = 30.0


class _Token(Struct, frozen=True):
    """`ack`: where the first envelope of a lane is settled; `through`: the last one's sequence."""

    ack: str
    lane: int | None = None
    through: int = 0


class _State(Struct, frozen=True, forbid_unknown_fields=False):
    """Of a consumer: envelopes not yet delivered, and delivered but not settled."""

    name: str
    num_pending: int
    num_ack_pending: int

    @property
    def holds(self) -> bool:
        """Whether there is anything at all."""
        return bool(self.num_pending or self.num_ack_pending)


class _Listed(Struct, frozen=True, forbid_unknown_fields=False):
    consumers: list[_State] = []


_LIST: Final = msgspec.json.Decoder(_Listed)


class NatsQueue(Queue):
    """Implements `Queue` on JetStream 2.11 or newer."""

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or Config()
        if not re.fullmatch(r"[\w-]+", self._config.name):
            raise ConfigError("queue.name", f"{self._config.name!r} has to be letters, digits, '-' and '_' only")
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._turn = asyncio.Lock()  # two leases of one process would only look for the same lanes
        self._ready = False
        self._refusal = ""
        self._room = Room(self._config.capacity)
        self._arrived = asyncio.Event()
        self._careful: dict[int, int] = {}
        self._probed: dict[str, float] = {}
        self._size = 1.0
        self._batches: dict[str, asyncio.Queue[Msg]] = {}
        self._asked: dict[str, deque[asyncio.Future[Msg]]] = defaultdict(deque)
        self._numbers = itertools.count()

    async def open(self) -> None:
        """See `Queue.open`; makes the stream and its consumers where they are missing."""
        async with self._connected():
            pass

    async def put(self, messages: Sequence[Message]) -> int:
        """See `Queue.put`."""
        async with self._connected() as client:
            envelopes = seal(messages, largest=client.max_payload - HEADROOM)
            if self._room.stale:
                self._room.measured(await self._depth())
            self._room.take(len(messages))
            lane = f"{self._config.name}.lane"
            await self._publish(client, [(f"{lane}.{each.lane}.{each.count}", each) for each in envelopes])
            await client.publish(f"{self._config.name}.wake")
        return len(messages)

    async def lease(self, limit: int, *, wait: timedelta) -> EnvelopeLease | None:
        """See `Queue.lease`."""
        deadline = time.monotonic() + wait.total_seconds()
        while True:
            self._arrived.clear()
            async with self._turn, self._connected() as client:
                since = time.monotonic()
                states = await self._states()
                aside = states.pop("again", None)
                parcels = await self._due(client, limit) if aside is not None and aside.holds else []
                parcels += await self._lanes(client, states, limit)
            if parcels:
                return EnvelopeLease(self, parcels, self._config.lease, since)
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), min(left, POLL))

    async def depth(self) -> Depth:
        """See `Queue.depth`."""
        async with self._connected():
            return await self._depth()

    async def settle(self, settlement: Settlement) -> None:
        """See `Broker.settle`."""
        name = self._config.name
        async with self._connected() as client:
            await self._publish(client, [(f"{name}-dead", each) for each in settlement.dead])
            again = [(f"{name}.again.{each.count}", each) for each in settlement.again]
            await self._publish(client, again, {DELAY: str(settlement.delay.total_seconds())})
            tokens = [parcel.token for parcel in settlement.parcels]
            through = {token.lane: token.through for token in tokens if not token.ack}
            await asyncio.gather(
                *(
                    self._ask(f"STREAM.PURGE.{name}", {"filter": f"{name}.lane.{lane}.*", "seq": last + 1})
                    for lane, last in through.items()
                )
            )
            await asyncio.gather(*(client.request(token.ack, b"+ACK", TIMEOUT) for token in tokens if token.ack))

    async def extend(self, parcels: Sequence[Parcel]) -> None:
        """See `Broker.extend`."""
        async with self._connected() as client:
            for parcel in parcels:
                if parcel.token.ack:
                    await client.publish(parcel.token.ack, b"+WPI")
            await client.flush(round(TIMEOUT))

    async def aclose(self) -> None:
        """See `Queue.aclose`."""
        if self._client is not None:
            await self._client.close()

    async def _due(self, client: Client, limit: int) -> list[Parcel]:
        """What was put aside and is due. When it comes for the first time, the server is told to wait for its delay."""
        due: list[Parcel] = []
        while len(due) < limit and (message := await self._next(client, "again")) is not None:
            deliveries = message.metadata.num_delivered
            if deliveries > 1:
                at = message.metadata.timestamp.timestamp()
                due.append(Parcel(message.data, at, deliveries - 1, _Token(message.reply)))
            else:
                seconds = float((message.headers or {}).get(DELAY, 0.0))
                await client.publish(message.reply, b"-NAK " + msgspec.json.encode({"delay": int(1e9 * seconds)}))
        return due

    async def _lanes(self, client: Client, states: dict[str, "_State"], limit: int) -> list[Parcel]:
        """Free lanes that have something: at most half of them, as many as fill the lease, since each costs calls."""
        free = [name for name, state in states.items() if state.num_pending and not state.num_ack_pending]
        chosen = random.sample(free, min(len(free), max(LEAST, len(free) // 2)))
        enough = itertools.accumulate(states[name].num_pending * self._size for name in chosen)
        chosen = chosen[: 1 + sum(expected < limit for expected in enough)]
        chosen += self._overdue(states)
        if not chosen:
            return []
        room = max(1, limit // len(chosen))
        found = await asyncio.gather(
            *(self._take(client, int(name.removeprefix("lane-")), room, states[name].num_pending) for name in chosen)
        )
        return [parcel for own in found for parcel in own]

    def _overdue(self, states: dict[str, "_State"]) -> list[str]:
        """Lanes that somebody has, or had: that a lease ran out the server says only to who asks, which costs time."""
        at, rarely = time.monotonic(), self._config.lease / PROBES
        busy = {name for name, state in states.items() if state.num_ack_pending}
        self._probed = {name: self._probed.get(name, at) for name in busy}
        due = [name for name, asked in self._probed.items() if at - asked >= rarely]
        self._probed |= dict.fromkeys(due, at)
        return due

    async def _states(self) -> dict[str, "_State"]:
        """What each consumer has, of the lanes and of what was put aside."""
        assert self._client is not None  # noqa: S101 -- it is called within `_connected`
        answer = await self._client.request(f"$JS.API.CONSUMER.LIST.{self._config.name}", b"", TIMEOUT)
        listed = _LIST.decode(answer.data)
        self._ready = bool(listed.consumers)
        return {each.name: each for each in listed.consumers}

    async def _take(self, client: Client, lane: int, room: int, waiting: int) -> list[Parcel]:
        """A lane's first envelope, where nobody has it, and what follows."""
        first = await self._next(client, f"lane-{lane}")
        if first is None:
            return []
        metadata = first.metadata
        sequence, count = metadata.sequence.stream, int(first.subject.rpartition(".")[2])
        self._size += 0.1 * (count - self._size)
        parcels = [
            Parcel(
                first.data, metadata.timestamp.timestamp(), metadata.num_delivered, _Token(first.reply, lane, sequence)
            )
        ]
        careful = CAREFUL if metadata.num_delivered > 1 else self._careful.pop(lane, 0) - count
        if careful > 0:
            self._careful[lane] = careful
        elif count < room and waiting > 1:
            rest = await self._following(client, lane, sequence, room - count)
            parcels += [
                Parcel(
                    each.data,
                    datetime.fromisoformat(_header(each, "Nats-Time-Stamp")).timestamp(),
                    1,
                    _Token("", lane, int(_header(each, "Nats-Sequence"))),
                )
                for each in rest
            ]
        return parcels

    async def _next(self, client: Client, consumer: str) -> Msg | None:
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._asked[consumer].append(answer)
        await client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._config.name}.{consumer}",
            b'{"batch":1,"expires":50000000}',  # in 50 ms it is clear that another worker was faster
            reply=f"{self._inbox}.{consumer}",
        )
        message = await asyncio.wait_for(answer, TIMEOUT)
        return message if message.reply else None

    async def _following(self, client: Client, lane: int, sequence: int, room: int) -> list[Msg]:
        """What stands behind `sequence` in a lane, up to `room` messages or one envelope more."""
        key = str(next(self._numbers))
        arrivals = self._batches[key] = asyncio.Queue()
        wanted = {
            "seq": sequence + 1,
            "batch": math.ceil(room / self._size),
            "next_by_subj": f"{self._config.name}.lane.{lane}.*",
        }
        found: list[Msg] = []
        try:
            await client.publish(
                f"$JS.API.DIRECT.GET.{self._config.name}", msgspec.json.encode(wanted), reply=f"{self._inbox}.{key}"
            )
            async with asyncio.timeout(TIMEOUT):
                while "Nats-Sequence" in ((message := await arrivals.get()).headers or {}):
                    if room > 0:
                        found.append(message)
                        room -= int(_header(message, "Nats-Subject").rpartition(".")[2])
        finally:
            del self._batches[key]
        return found

    async def _depth(self) -> Depth:
        name = self._config.name
        lanes, again, dead, oldest, states = await asyncio.gather(
            self._subjects("lane"),
            self._subjects("again"),
            self._ask(f"STREAM.INFO.{name}-dead", {}),
            self._oldest(),
            self._states(),
        )
        leased = sum(each.num_ack_pending for each in states.values() if each.name != "again")
        messages = _total(lanes)
        return Depth(
            waiting=max(0, messages - leased),
            leased=leased,
            delayed=_total(again),
            dead=dead["state"]["messages"],
            oldest=oldest,
        )

    async def _oldest(self) -> timedelta:
        """The age of the first envelope in any lane; what was put aside is in none."""
        assert self._client is not None  # noqa: S101 -- it is called within `_connected`
        name = self._config.name
        wanted = msgspec.json.encode({"seq": 1, "next_by_subj": f"{name}.lane.>"})
        answer = await self._client.request(f"$JS.API.DIRECT.GET.{name}", wanted, TIMEOUT)
        put = (answer.headers or {}).get("Nats-Time-Stamp")
        return max(timedelta(), now() - datetime.fromisoformat(put)) if put else timedelta()

    async def _subjects(self, kind: str) -> dict[str, int]:
        """Envelopes by subject, whose last part says how many messages each holds."""
        name = self._config.name
        answer = await self._ask(f"STREAM.INFO.{name}", {"subjects_filter": f"{name}.{kind}.>"})
        found: dict[str, int] = answer["state"].get("subjects") or {}
        return found

    async def _publish(
        self, client: Client, envelopes: Sequence[tuple[str, Sealed]], headers: dict[str, str] | None = None
    ) -> None:
        """Returns once JetStream has acknowledged all; they leave together, and their answers come to one inbox."""
        key = str(next(self._numbers))
        arrivals = self._batches[key] = asyncio.Queue()
        try:
            for subject, each in envelopes:
                await client.publish(subject, each.data, f"{self._inbox}.{key}", headers)
            async with asyncio.timeout(TIMEOUT):
                for _ in envelopes:
                    self._understood(await arrivals.get())
        finally:
            del self._batches[key]

    async def _ask(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        assert self._client is not None  # noqa: S101 -- it is called within `_connected`
        answer = await self._client.request(f"$JS.API.{call}", msgspec.json.encode(body), TIMEOUT)
        return self._understood(answer)

    def _understood(self, answer: Msg) -> dict[str, Any]:
        """What JetStream answers, unless it refuses."""
        if not answer.data:  # the server says that nobody listens to that subject
            raise errors.NoRespondersError
        found: dict[str, Any] = msgspec.json.decode(answer.data)
        if "error" in found:
            self._ready = found["error"].get("err_code") not in MISSING
            raise TransientError(f"JetStream cannot do this now: {found['error'].get('description')}")
        return found

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        try:
            async with self._connecting:
                if not self._ready or self._client is None:
                    await self._prepare()
                    self._ready = True
                assert self._client is not None  # noqa: S101 -- just prepared
            yield self._client
        except (errors.Error, JetStreamError, OSError, TimeoutError) as problem:
            if isinstance(problem, errors.NoRespondersError):
                self._ready = False
            refusal, self._refusal = self._refusal, ""
            if refusal:
                raise ConfigError("queue.url", f"NATS refuses this user: {refusal}") from problem
            raise TransientError(f"NATS cannot do this now: {problem or type(problem).__name__}") from problem

    async def _prepare(self) -> None:
        """Makes a connection, with stream and consumers as they have to be."""
        client = self._client = self._client or await self._connect()
        self._stream = client.jetstream(timeout=TIMEOUT)
        name = self._config.name
        for stream, subjects, retention in (
            (name, [f"{name}.lane.>", f"{name}.again.>"], RetentionPolicy.WORK_QUEUE),
            (f"{name}-dead", [f"{name}-dead"], RetentionPolicy.LIMITS),
        ):
            wanted = StreamConfig(
                stream, subjects=subjects, retention=retention, num_replicas=self._config.replicas, allow_direct=True
            )
            try:
                found = (await self._stream.stream_info(stream)).config
            except NotFoundError:
                found = (await self._stream.add_stream(wanted)).config
            if (
                found.retention != retention
                or sorted(found.subjects or []) != sorted(subjects)
                or not found.allow_direct
            ):
                raise ConfigError(
                    "queue.name",
                    f"the stream {stream!r} is of another shape: choose another name, or delete the stream and let it "
                    "be made here",
                )
        lanes = [(f"lane-{lane}", f"{name}.lane.{lane}.*", 1) for lane in range(LANES)]
        consumers = [
            ConsumerConfig(
                durable_name=consumer,
                filter_subject=subject,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=self._config.lease,
                max_ack_pending=most,
            )
            for consumer, subject, most in [*lanes, ("again", f"{name}.again.*", -1)]
        ]
        await asyncio.gather(*(self._stream.add_consumer(name, each) for each in consumers))

    async def _connect(self) -> Client:
        client = Client()
        options: dict[str, Any] = {"user_credentials": self._config.credentials} if self._config.credentials else {}
        try:
            async with asyncio.timeout(TIMEOUT):
                await client.connect(
                    self._config.url.split(","),
                    error_cb=self._failed,
                    connect_timeout=2,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    **options,
                )
        except BaseException:
            await client.close()
            raise
        self._inbox = client.new_inbox()
        await client.subscribe(f"{self._inbox}.*", cb=self._got)
        await client.subscribe(f"{self._config.name}.wake", cb=self._woken)
        return client

    async def _failed(self, error: Exception) -> None:
        """The client tells of what it will try again."""
        text = str(error)
        if "ermissions" in text or "uthorization" in text:
            self._refusal = text
        log.warning("NATS: %s", text or type(error).__name__)

    async def _got(self, message: Msg) -> None:
        """An answer: to a batch by its number, to who asked a consumer first by its name; an envelope names its own."""
        key = message.metadata.consumer if message.reply else message.subject.rpartition(".")[2]
        if key in self._batches:
            self._batches[key].put_nowait(message)
            return
        asked = self._asked.get(key, deque())
        while asked:
            answer = asked.popleft()
            if not answer.done():
                answer.set_result(message)
                return
        if message.reply and self._client is not None:  # nobody waits any more
            await self._client.publish(message.reply, b"-NAK")

    async def _woken(self, _: Msg) -> None:
        self._arrived.set()


def _header(message: Msg, name: str) -> str:
    return (message.headers or {})[name]


def _total(subjects: dict[str, int]) -> int:
    return sum(envelopes * int(subject.rpartition(".")[2]) for subject, envelopes in subjects.items())
