"""Google Cloud Pub/Sub as the queue: a topic whose ordering keys are lanes, one for retries, one for dead letters."""

import asyncio
import contextlib
import logging
import math
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

import grpc
from google.api_core import exceptions
from google.auth import default as default_credentials
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from google.pubsub_v1.types import PublishRequest, PubsubMessage, PullResponse, Subscription

from chat_moderator.errors import ConfigError, OverloadedError, TransientError
from chat_moderator.protocols import Queue
from chat_moderator.queues.envelope import EnvelopeLease, Parcel, Sealed, Settlement, in_calls, seal
from chat_moderator.queues.polling import LongPoll, first
from chat_moderator.queues.pubsub_depth import UNTOLD, MonitoredDepth
from chat_moderator.types import Depth, Message, Struct, now

EMULATOR: Final = "PUBSUB_EMULATOR_HOST"
SERVICE: Final = "pubsub.googleapis.com"
LARGEST: Final = 1024 * 1024
"""Bytes an envelope; the service takes ten times that a call."""

CALL: Final = 8 * 1024 * 1024
"""Bytes of envelopes that surely fit into one call."""

MOST: Final = 1000
"""Messages a call, published or acknowledged, by the service's limits."""

TIMEOUT: Final = 5.0
POLL: Final = 5.0
"""Seconds that a poll waits in the service, which hands messages to a poll whose connection broke until it ends."""

PATIENCE: Final = timedelta(seconds=1)
SHORTEST: Final = 10
LONGEST: Final = 600
"""Seconds of an acknowledgement deadline, by the service's limits."""

ATTEMPTS: Final = 10
"""Deliveries until the service itself moves a message to the dead letters, which the worker does sooner."""

DUE: Final = "due"
RECONNECT: Final = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 2000)]

log = logging.getLogger(__name__)


class Config(Struct, frozen=True):
    """`name`: topics and subscriptions are NAME, NAME-retries and NAME-dead; `create`: makes those that are missing.

    `project`: else that of the environment's credentials; `endpoint`: host and port of an emulator, else
    PUBSUB_EMULATOR_HOST; `monitoring`: address of Cloud Monitoring, where its depth shall be asked for; `lease`:
    seconds a worker has for a batch, at most 600.
    """

    name: str = "chat-moderator"
    create: bool = False
    project: str = ""
    endpoint: str = ""
    monitoring: str = ""
    lease: float = 30.0


class _Token(Struct, frozen=True):
    subscription: str
    ack: str


class PubsubQueue(Queue):
    """Implements `Queue` on Pub/Sub; the service hands out an ordering key to one subscriber at a time."""

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or Config()
        self._opening = asyncio.Lock()
        self._channels: list[Any] = []
        self._ready = False
        self._deadline = min(LONGEST, math.ceil(self._config.lease))
        self._deadlines: dict[str, int] = {}
        self._ordinary = LongPoll(self._receive)
        self._held = LongPoll(self._held_back)
        self._monitored: MonitoredDepth | None = None
        self._size = 1.0
        self._wanted = 1

    async def open(self) -> None:
        """See `Queue.open`."""
        async with self._connected():
            pass

    async def put(self, messages: Sequence[Message]) -> int:
        """See `Queue.put`."""
        async with self._connected():
            await self._publish("", seal(messages, largest=LARGEST))
        return len(messages)

    async def lease(self, limit: int, *, wait: timedelta) -> EnvelopeLease | None:
        """See `Queue.lease`."""
        async with self._connected():
            self._wanted = min(MOST, max(1, round(limit / self._size)))
            taken = await first((self._held, self._ordinary), wait)
        if taken is None:
            return None
        parcels, since = taken
        lease = EnvelopeLease(self, parcels, self._config.lease, since)
        self._size += 0.1 * (len(lease.messages) / len(parcels) - self._size)
        return lease

    async def depth(self) -> Depth:
        """See `Queue.depth`: untold, unless Cloud Monitoring may be asked."""
        async with self._connected():
            return await self._monitored.depth() if self._monitored is not None else UNTOLD

    async def settle(self, settlement: Settlement) -> None:
        """See `Broker.settle`."""
        async with self._connected():
            await self._publish("-dead", settlement.dead)
            due = now().timestamp() + settlement.delay.total_seconds()
            await self._publish("-retries", settlement.again, due=due)
            for subscription, ids in _by_subscription(settlement.parcels):
                await self._subscriber.acknowledge(subscription=subscription, ack_ids=ids, timeout=TIMEOUT, retry=None)

    async def extend(self, parcels: Sequence[Parcel]) -> None:
        """See `Broker.extend`."""
        async with self._connected():
            await self._hide(parcels, self._config.lease)

    async def aclose(self) -> None:
        """See `Queue.aclose`."""
        left = [parcel for poll in (self._held, self._ordinary) for parcel in await poll.aclose(PATIENCE) or ()]
        with contextlib.suppress(exceptions.GoogleAPICallError):
            await self._hide(left, 0)
        for channel in self._channels:
            await channel.close()

    async def _receive(self) -> list[Parcel]:
        subscription = self._path("subscriptions", "")
        return [_parcel(subscription, each) for each in await self._pull(subscription)]

    async def _held_back(self) -> list[Parcel]:
        """What was put aside and is due; the service hides the rest until it is."""
        subscription = self._path("subscriptions", "-retries")
        pulled, due = await self._pull(subscription), []
        for received in pulled:
            early = float(received.message.attributes.get(DUE, 0.0)) - now().timestamp()
            parcel = _parcel(subscription, received, held=1)
            if early > 0:
                await self._hide([parcel], early)
            else:
                due.append(parcel)
        return due

    async def _pull(self, subscription: str) -> list[Any]:
        try:
            answer = await self._subscriber.pull(
                subscription=subscription, max_messages=self._wanted, timeout=POLL, retry=None
            )
        except exceptions.DeadlineExceeded:
            return []
        received = list(PullResponse.pb(answer).received_messages)
        if self._deadlines.get(subscription) != self._deadline:
            await self._set_deadline(subscription, [each.ack_id for each in received], self._config.lease)
        return received

    async def _hide(self, parcels: Sequence[Parcel], seconds: float) -> None:
        for subscription, ids in _by_subscription(parcels):
            await self._set_deadline(subscription, ids, seconds)

    async def _set_deadline(self, subscription: str, ids: list[str], seconds: float) -> None:
        if ids:
            await self._subscriber.modify_ack_deadline(
                subscription=subscription,
                ack_ids=ids,
                ack_deadline_seconds=min(LONGEST, math.ceil(seconds)),
                timeout=TIMEOUT,
                retry=None,
            )

    async def _publish(self, kind: str, envelopes: Sequence[Sealed], *, due: float | None = None) -> None:
        attributes = {DUE: str(due)} if due is not None else {}
        for part in in_calls(envelopes, most=MOST, largest=CALL):
            published = [
                _MESSAGE(data=each.data, attributes=attributes, ordering_key="" if kind else str(each.lane))
                for each in part
            ]
            request = PublishRequest.wrap(_PUBLISH(topic=self._path("topics", kind), messages=published))
            await self._publisher.publish(request, timeout=TIMEOUT, retry=None)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        try:
            async with self._opening:
                if not self._channels:
                    self._connect()
                if not self._ready:
                    await self._find()
                    self._ready = True
            yield
        except (exceptions.PermissionDenied, exceptions.Unauthenticated, GoogleAuthError) as problem:
            raise ConfigError("queue", f"Google refuses these credentials: {problem}") from problem
        except exceptions.ResourceExhausted as problem:
            raise OverloadedError(f"Pub/Sub is busy: {problem}", retry_after=timedelta(seconds=1)) from problem
        except exceptions.GoogleAPIError as problem:
            self._ready = self._ready and not isinstance(problem, exceptions.NotFound)
            raise TransientError(f"Pub/Sub cannot do this now: {problem}") from problem

    def _connect(self) -> None:
        endpoint = self._config.endpoint or os.environ.get(EMULATOR, "")
        self._project = self._config.project
        if endpoint:
            self._channels = [grpc.aio.insecure_channel(endpoint, options=RECONNECT) for _ in range(2)]
        else:
            credentials, project = default_credentials()
            self._project = self._project or project or ""
            self._channels = [
                transport.create_channel(SERVICE, credentials=credentials, options=RECONNECT)
                for transport in (PublisherGrpcAsyncIOTransport, SubscriberGrpcAsyncIOTransport)
            ]
        if not self._project:
            raise ConfigError("queue.project", "the environment names no Google project: name it here")
        if self._config.monitoring:
            self._monitored = MonitoredDepth(self._config.monitoring, self._project, self._config.name)
        publishing, subscribing = self._channels
        self._publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=publishing))
        self._subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=subscribing))

    async def _find(self) -> None:
        """Makes sure of topics and subscriptions, made where that is wanted."""
        for kind in ("-dead", "-retries", ""):
            topic = self._path("topics", kind)
            subscription = self._path("subscriptions", kind)
            try:
                found = await self._subscriber.get_subscription(subscription=subscription, timeout=TIMEOUT, retry=None)
            except exceptions.NotFound as problem:
                if not self._config.create:
                    raise ConfigError(
                        "queue.name", f"Pub/Sub has no {subscription}: create it, or set queue.create = true"
                    ) from problem
                found = await self._make(topic, subscription, kind)
            self._deadlines[subscription] = found.ack_deadline_seconds
            if not kind and not found.enable_message_ordering:
                raise ConfigError(
                    "queue.name", f"{subscription} does not keep the order: make it with message ordering enabled"
                )

    async def _make(self, topic: str, subscription: str, kind: str) -> Subscription:
        with contextlib.suppress(exceptions.AlreadyExists):
            await self._publisher.create_topic(name=topic, timeout=TIMEOUT, retry=None)
        wanted = Subscription(
            name=subscription,
            topic=topic,
            ack_deadline_seconds=SHORTEST,
            enable_message_ordering=not kind,
        )
        if kind != "-dead":
            wanted.dead_letter_policy.dead_letter_topic = self._path("topics", "-dead")
            wanted.dead_letter_policy.max_delivery_attempts = ATTEMPTS
        return await self._subscriber.create_subscription(wanted, timeout=TIMEOUT, retry=None)

    def _path(self, what: str, kind: str) -> str:
        return f"projects/{self._project}/{what}/{self._config.name}{kind}"


def _parcel(subscription: str, received: Any, *, held: int = 0) -> Parcel:
    message = received.message
    at = message.publish_time.seconds + message.publish_time.nanos / 1e9
    deliveries = max(1, received.delivery_attempt - held)
    return Parcel(message.data, at, deliveries, _Token(subscription, received.ack_id))


def _by_subscription(parcels: Sequence[Parcel]) -> Iterator[tuple[str, list[str]]]:
    for subscription in dict.fromkeys(parcel.token.subscription for parcel in parcels):
        ids = [parcel.token.ack for parcel in parcels if parcel.token.subscription == subscription]
        for start in range(0, len(ids), MOST):
            yield subscription, ids[start : start + MOST]


# The messages themselves: the library's wrappers around them cost several times what is in them.
_MESSAGE: Final[Any] = PubsubMessage.pb()
_PUBLISH: Final[Any] = PublishRequest.pb()
