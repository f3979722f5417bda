"""What travels through a broker: envelopes of messages of one lane, and the lease over those that came out.

The form is JSON, so that any producer can write it and a person can read a dead letter: `{"messages": [{"id": "1",
"text": "hello"}]}`; the other keys are optional.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Protocol

import msgspec
from msgspec import Meta

from chat_moderator.errors import OverloadedError, PermanentError, StaleLeaseError, TooLargeError
from chat_moderator.store.intake import lane_of
from chat_moderator.types import Depth, Message, Struct, now

MOST: Final = 128
"""Messages an envelope: a lease holds whole envelopes, so that it may exceed what was asked for by one less."""


log = logging.getLogger(__name__)


class Envelope(Struct, omit_defaults=True, frozen=True):
    """Messages of one lane, in order.

    Args:
        messages: at least one.
        received_at: Unix seconds; 0 where the producer does not say.
        attempts: of the next delivery, as far as earlier envelopes count.
        reason: why it is a dead letter.
    """

    messages: tuple[Message, ...]
    received_at: Annotated[float, Meta(ge=0, lt=1e11)] = 0.0
    attempts: Annotated[int, Meta(ge=1, lt=2**31)] = 1
    reason: str = ""


class Sealed(Struct, frozen=True):
    """An envelope on its way: its lane (0 to 63), how many messages it holds, and its bytes."""

    lane: int
    count: int
    data: bytes


class Parcel(Struct, frozen=True):
    """An envelope as a broker delivered it.

    Args:
        data: what somebody put.
        received_at: when, in Unix seconds.
        deliveries: of this envelope, this time included.
        token: what its broker needs to settle it.
    """

    data: bytes
    received_at: float
    deliveries: int
    token: Any


class Settlement(Struct, frozen=True):
    """How a lease ends: all parcels are settled, after `again` and `dead` are safe in the broker."""

    parcels: Sequence[Parcel]
    again: Sequence[Sealed] = ()
    delay: timedelta = timedelta()
    dead: Sequence[Sealed] = ()


class Broker(Protocol):
    """What an `EnvelopeLease` needs of its queue."""

    async def settle(self, settlement: Settlement) -> None:
        """Ends a lease.

        Raises:
            StaleLeaseError: the broker knows that it ran out.
        """

    async def extend(self, parcels: Sequence[Parcel]) -> None:
        """Starts the time of a lease anew.

        Raises:
            StaleLeaseError: the broker knows that it ran out.
        """


class EnvelopeLease:
    """Implements `Lease`; `retry` and `bury` take effect with `ack`.

    Args:
        broker: settles and extends.
        parcels: what was delivered.
        seconds: until it runs out, from `since` on.
        since: of the monotonic clock, before the broker was asked. A holder that was frozen for longer settles nothing.
    """

    def __init__(self, broker: Broker, parcels: Sequence[Parcel], seconds: float, since: float) -> None:
        self._broker = broker
        self._parcels = parcels
        self._seconds = seconds
        self._until = since + seconds
        self._again: list[Sealed] = []
        self._delay = timedelta()
        self._dead: list[Sealed] = []
        self._settled = False
        self.messages: list[Message] = []
        self.attempts: list[int] = []
        self.received_at: list[datetime] = []
        for parcel in parcels:
            self._open(parcel)

    async def renew(self) -> None:
        """See `Lease.renew`."""
        self._check()
        since = time.monotonic()
        await self._broker.extend(self._parcels)
        self._until = since + self._seconds

    async def retry(self, indexes: Sequence[int], *, delay: timedelta) -> None:
        """See `Lease.retry`; of several delays in one lease the longest counts."""
        self._again += [self._sealed(index, attempts=self.attempts[index] + 1) for index in indexes]
        self._delay = max(self._delay, delay)

    async def bury(self, indexes: Sequence[int], *, reason: str) -> None:
        """See `Lease.bury`."""
        self._dead += [self._sealed(index, attempts=1, reason=reason) for index in indexes]

    async def ack(self) -> None:
        """See `Lease.ack`."""
        self._check()
        await self._broker.settle(Settlement(self._parcels, self._again, self._delay, self._dead))
        self._settled = True

    def _open(self, parcel: Parcel) -> None:
        try:
            envelope = unseal(parcel.data)
        except PermanentError as problem:
            log.error("what another producer put goes to the dead letters as it is: %s", problem)  # noqa: TRY400
            self._dead.append(Sealed(0, 1, parcel.data))
            return
        moment = datetime.fromtimestamp(envelope.received_at or parcel.received_at, UTC)
        count = len(envelope.messages)
        self.messages += envelope.messages
        self.attempts += [envelope.attempts + parcel.deliveries - 1] * count
        self.received_at += [moment] * count

    def _check(self) -> None:
        if self._settled or time.monotonic() >= self._until:
            raise StaleLeaseError("the lease ran out before its batch was settled")

    def _sealed(self, index: int, *, attempts: int, reason: str = "") -> Sealed:
        message = self.messages[index]
        return sealed(Envelope((message,), self.received_at[index].timestamp(), attempts, reason))


class Room:
    """Refuses what a queue has no room for, by a depth asked for now and then and what was put since.

    Args:
        capacity: messages, or envelopes where the broker counts those.
        fresh: seconds that a depth is believed.
    """

    def __init__(self, capacity: int, *, fresh: float = 1.0) -> None:
        self._capacity = capacity
        self._fresh = fresh
        self._depth = 0
        self._until = 0.0

    @property
    def stale(self) -> bool:
        """Whether the depth has to be asked again."""
        return time.monotonic() >= self._until

    def measured(self, depth: Depth) -> None:
        """The depth as the broker tells it."""
        self._depth = depth.waiting + depth.leased
        self._until = time.monotonic() + self._fresh

    def take(self, count: int) -> None:
        """Counts what is about to be put.

        Raises:
            OverloadedError: there is no room for it.
        """
        if self._depth + count > self._capacity:
            raise OverloadedError(f"{self._depth} messages wait already", retry_after=timedelta(seconds=1))
        self._depth += count


def seal(messages: Sequence[Message], *, largest: int) -> list[Sealed]:
    """Messages in envelopes: a lane's in order, at most 128 and `largest` bytes each.

    Raises:
        TooLargeError: a message alone is larger.
    """
    at = now().timestamp()
    lanes: dict[int, list[Message]] = {}
    for message in messages:
        lanes.setdefault(lane_of(message.client, message.platform, message.channel), []).append(message)
    return [
        each
        for own in lanes.values()
        for start in range(0, len(own), MOST)
        for each in _fitting(tuple(own[start : start + MOST]), at, largest)
    ]


def in_calls(envelopes: Iterable[Sealed], *, most: int, largest: int) -> Iterator[list[Sealed]]:
    """In order, at most `most` of them and `largest` bytes a call; one that is larger goes alone."""
    part: list[Sealed] = []
    size = 0
    for each in envelopes:
        if part and (len(part) == most or size + len(each.data) > largest):
            yield part
            part, size = [], 0
        part.append(each)
        size += len(each.data)
    if part:
        yield part


def sealed(envelope: Envelope) -> Sealed:
    """An envelope as bytes."""
    first = envelope.messages[0]
    lane = lane_of(first.client, first.platform, first.channel)
    return Sealed(lane, len(envelope.messages), _ENCODER.encode(envelope))


def unseal(data: bytes) -> Envelope:
    """The envelope of bytes that somebody put.

    Raises:
        PermanentError: it is none of ours, with what is wrong.
    """
    try:
        envelope = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise PermanentError(f"it is no envelope of messages: {problem}") from problem
    if not envelope.messages:
        raise PermanentError("it is an envelope without messages")
    return envelope


def _fitting(messages: tuple[Message, ...], at: float, largest: int) -> list[Sealed]:
    whole = sealed(Envelope(messages, at))
    if len(whole.data) <= largest:
        return [whole]
    if len(messages) == 1:
        raise TooLargeError(messages[0].id, size=len(whole.data), largest=largest)
    middle = len(messages) // 2
    return _fitting(messages[:middle], at, largest) + _fitting(messages[middle:], at, largest)


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Envelope)
