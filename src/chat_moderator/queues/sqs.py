"""Amazon SQS as the queue: a FIFO queue whose message groups are lanes, one for retries, one for dead letters."""

import asyncio
import contextlib
import json
import logging
import math
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.session import get_session
from botocore import exceptions
from botocore.config import Config as ClientConfig

from chat_moderator.errors import ChatModeratorError, ConfigError, OverloadedError, StaleLeaseError, TransientError
from chat_moderator.protocols import Queue
from chat_moderator.queues.envelope import EnvelopeLease, Parcel, Room, Sealed, Settlement, in_calls, seal
from chat_moderator.queues.polling import LongPoll, first
from chat_moderator.types import Depth, Message, Struct, now

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.type_defs import MessageTypeDef

TEN: Final = 10
"""Messages a call, by the service's limits; one of them is an envelope of ours."""

LARGEST: Final = 256 * 1024
"""Bytes a call; newer accounts may send more, this is what all take."""

WAIT: Final = 2
"""Seconds that a poll waits in the service: cheap when idle, and short enough to end it in order."""

PATIENCE: Final = timedelta(seconds=WAIT + 1)
FRESH: Final = 10.0
LONGEST_DELAY: Final = 900
TIMEOUT: Final = 5
RECEIVES: Final = 10
"""Deliveries until the service itself moves a message to the dead letters, which the worker does sooner."""

REFUSED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
BUSY: Final = frozenset({"OverLimit", "RequestThrottled", "Throttling", "ThrottlingException", "KmsThrottled"})
STALE: Final = frozenset({"InvalidParameterValue", "MessageNotInflight", "ReceiptHandleIsInvalid"})

log = logging.getLogger(__name__)


class Config(Struct, frozen=True):
    """`name`: the queues are NAME.fifo, NAME-retries and NAME-dead.fifo; `create`: makes those that are missing.

    `region` and `endpoint`: where they are, else as the environment says, where the credentials come from too;
    `capacity`: envelopes that may wait; `lease`: seconds a worker has for a batch.
    """

    name: str = "chat-moderator"
    create: bool = False
    region: str = ""
    endpoint: str = ""
    capacity: int = 100_000
    lease: float = 30.0


class _Token(Struct, frozen=True):
    url: str
    handle: str


class SqsQueue(Queue):
    """Implements `Queue` on SQS; the service keeps two workers off one message group."""

    def __init__(self, config: Config | None = None) -> None:
        self._config = config or Config()
        self._closing = contextlib.AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: SQSClient | None = None
        self._fifo = self._retries = self._dead = ""
        self._room = Room(self._config.capacity, fresh=FRESH)
        self._ordinary = LongPoll(partial(self._receive, ""))
        self._held = LongPoll(partial(self._receive, "-retries"))
        self._lag: timedelta | None = None
        self._size = 1.0

    async def open(self) -> None:
        """See `Queue.open`."""
        async with self._connected():
            pass

    async def put(self, messages: Sequence[Message]) -> int:
        """See `Queue.put`."""
        envelopes = seal(messages, largest=LARGEST)
        async with self._connected() as client:
            if self._room.stale:
                self._room.measured(await self._depth(client))
            self._room.take(len(envelopes))
            await self._send(client, self._fifo, envelopes)
        return len(messages)

    async def lease(self, limit: int, *, wait: timedelta) -> EnvelopeLease | None:
        """See `Queue.lease`."""
        async with self._connected() as client:
            taken = await first((self._held, self._ordinary), wait)
            if taken is None:
                return None
            parcels, since = taken
            last = parcels
            while len(last) == TEN and len(parcels) * self._size < limit:
                last = await self._take(client, self._fifo, 0)
                parcels += last
        lease = EnvelopeLease(self, parcels, self._config.lease, since)
        self._size += 0.1 * (len(lease.messages) / len(parcels) - self._size)
        if lease.received_at:
            self._lag = max(timedelta(), now() - lease.received_at[0])
        return lease

    async def depth(self) -> Depth:
        """See `Queue.depth`: in envelopes, as the service estimates; the age is told by CloudWatch alone.

        A process that leases knows how old its latest lease was.
        """
        async with self._connected() as client:
            return await self._depth(client)

    async def settle(self, settlement: Settlement) -> None:
        """See `Broker.settle`."""
        async with self._connected() as client:
            await self._send(client, self._dead, settlement.dead)
            delay = min(LONGEST_DELAY, math.ceil(settlement.delay.total_seconds()))
            await self._send(client, self._retries, settlement.again, delay=delay)
            for url, part in _by_queue(settlement.parcels):
                entries: Any = [{"Id": str(at), "ReceiptHandle": each.handle} for at, each in enumerate(part)]
                answer = await client.delete_message_batch(QueueUrl=url, Entries=entries)
                _check(answer.get("Failed", ()))

    async def extend(self, parcels: Sequence[Parcel]) -> None:
        """See `Broker.extend`."""
        async with self._connected() as client:
            await self._show(client, parcels, math.ceil(self._config.lease))

    async def aclose(self) -> None:
        """See `Queue.aclose`."""
        polls = await asyncio.gather(*(poll.aclose(PATIENCE) for poll in (self._held, self._ordinary)))
        left = [parcel for parcels in polls for parcel in parcels or ()]
        if left and self._client is not None:
            with contextlib.suppress(ChatModeratorError, exceptions.BotoCoreError, exceptions.ClientError):
                await self._show(self._client, left, 0)
        await self._closing.aclose()

    async def _receive(self, kind: str) -> list[Parcel]:
        assert self._client is not None  # noqa: S101 -- only `lease` polls, when it is connected
        return await self._take(self._client, self._retries if kind else self._fifo, WAIT)

    async def _take(self, client: "SQSClient", url: str, wait: int) -> list[Parcel]:
        answer = await client.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=TEN,
            VisibilityTimeout=math.ceil(self._config.lease),
            WaitTimeSeconds=wait,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
        )
        return [_parcel(url, message) for message in answer.get("Messages", ())]

    async def _send(self, client: "SQSClient", url: str, envelopes: Sequence[Sealed], *, delay: int = 0) -> None:
        for part in in_calls(envelopes, most=TEN, largest=LARGEST):
            entries: Any = [
                {"Id": str(at), "MessageBody": _body(each.data)}
                | (_ordered(each) if url.endswith(".fifo") else {"DelaySeconds": delay})
                for at, each in enumerate(part)
            ]
            answer = await client.send_message_batch(QueueUrl=url, Entries=entries)
            failed = answer.get("Failed", ())
            if failed:
                raise TransientError(f"SQS did not take everything: {failed[0].get('Message', failed[0]['Code'])}")

    async def _show(self, client: "SQSClient", parcels: Sequence[Parcel], seconds: int) -> None:
        """Lets messages be seen again in so many seconds."""
        for url, part in _by_queue(parcels):
            entries: Any = [
                {"Id": str(at), "ReceiptHandle": each.handle, "VisibilityTimeout": seconds}
                for at, each in enumerate(part)
            ]
            answer = await client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
            _check(answer.get("Failed", ()))

    async def _depth(self, client: "SQSClient") -> Depth:
        main, retries, dead = await asyncio.gather(
            *(
                client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
                for url in (self._fifo, self._retries, self._dead)
            )
        )
        waiting, leased = _count(main, ""), _count(main, "NotVisible")
        return Depth(
            waiting=waiting,
            leased=leased,
            delayed=sum(_count(retries, state) for state in ("", "Delayed", "NotVisible")),
            dead=_count(dead, ""),
            oldest=(self._lag or timedelta()) if waiting else timedelta(),
            untold=("oldest",) if waiting and self._lag is None else (),
        )

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator["SQSClient"]:
        try:
            async with self._opening:
                client = self._client = self._client or await self._connect()
                if not self._fifo:
                    await self._find(client)
            yield client
        except exceptions.ClientError as problem:
            raise self._translated(problem) from problem
        except (exceptions.NoCredentialsError, exceptions.NoRegionError) as problem:
            raise ConfigError("queue", f"AWS credentials or region are missing: {problem}") from problem
        except (exceptions.BotoCoreError, OSError) as problem:
            raise TransientError(f"SQS cannot be reached: {problem}") from problem

    async def _connect(self) -> "SQSClient":
        options = ClientConfig(connect_timeout=TIMEOUT, read_timeout=TIMEOUT + WAIT, retries={"total_max_attempts": 2})
        return await self._closing.enter_async_context(
            get_session().create_client(
                "sqs",
                region_name=self._config.region or None,
                endpoint_url=self._config.endpoint or None,
                config=options,
            )
        )

    async def _find(self, client: "SQSClient") -> None:
        """The queues, made where that is wanted, once it is sure that they are as they have to be."""
        name = self._config.name
        self._dead = await self._url(client, f"{name}-dead.fifo", {"FifoQueue": "true"})
        found = await client.get_queue_attributes(QueueUrl=self._dead, AttributeNames=["QueueArn"])
        redrive = {"deadLetterTargetArn": found["Attributes"]["QueueArn"], "maxReceiveCount": RECEIVES}
        self._retries = await self._url(client, f"{name}-retries", {})
        self._fifo = await self._url(
            client,
            f"{name}.fifo",
            {
                "FifoQueue": "true",
                "DeduplicationScope": "messageGroup",
                "FifoThroughputLimit": "perMessageGroupId",
                "RedrivePolicy": json.dumps(redrive),
            },
        )

    async def _url(self, client: "SQSClient", queue: str, attributes: Any) -> str:
        try:
            return (await client.get_queue_url(QueueName=queue))["QueueUrl"]
        except client.exceptions.QueueDoesNotExist as problem:
            if self._config.create:
                return (await client.create_queue(QueueName=queue, Attributes=attributes))["QueueUrl"]
            raise ConfigError(
                "queue.name", f"SQS has no queue {queue!r} here: create it, or set queue.create = true"
            ) from problem

    def _translated(self, problem: exceptions.ClientError) -> ChatModeratorError:
        error = problem.response.get("Error", {})
        code, text = error.get("Code", "").rpartition(".")[2], error.get("Message", str(problem))
        if code in REFUSED:
            return ConfigError("queue", f"AWS refuses these credentials for {problem.operation_name}: {text}")
        if code in BUSY:
            return OverloadedError(f"SQS is busy: {text}", retry_after=timedelta(seconds=1))
        if code in {"NonExistentQueue", "QueueDoesNotExist"}:
            self._fifo = ""
        return TransientError(f"SQS cannot do this now: {text}")


def _parcel(url: str, message: "MessageTypeDef") -> Parcel:
    attributes: Any = message.get("Attributes", {})
    return Parcel(
        message["Body"].encode(),
        int(attributes["SentTimestamp"]) / 1000,
        int(attributes["ApproximateReceiveCount"]),
        _Token(url, message["ReceiptHandle"]),
    )


def _body(data: bytes) -> str:
    """The service takes the characters of XML only; JSON can say the two others that it leaves as they are."""
    return data.decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _ordered(envelope: Sealed) -> dict[str, str]:
    return {"MessageGroupId": str(envelope.lane), "MessageDeduplicationId": uuid.uuid4().hex}


def _by_queue(parcels: Sequence[Parcel]) -> Iterator[tuple[str, list[_Token]]]:
    """At most ten a call, of one queue."""
    for url in dict.fromkeys(parcel.token.url for parcel in parcels):
        tokens = [parcel.token for parcel in parcels if parcel.token.url == url]
        for start in range(0, len(tokens), TEN):
            yield url, tokens[start : start + TEN]


def _check(failed: Sequence[Any]) -> None:
    for each in failed:
        if each["Code"].rpartition(".")[2] in STALE:
            raise StaleLeaseError("the lease ran out, says SQS")
        raise TransientError(f"SQS did not settle everything: {each.get('Message', each['Code'])}")


def _count(answer: Any, state: str) -> int:
    return int(answer["Attributes"].get(f"ApproximateNumberOfMessages{state}", 0))
