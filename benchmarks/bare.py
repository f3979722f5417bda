"""The brokers' clients by themselves, as their documentation uses them for batches: put, get, ack."""

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import apsw

from chat_moderator.queues.envelope import Sealed

LANES = 64


class Bare(Protocol):
    """One client with one thing to put into; `get` brings up to so many envelopes and `ack` settles those."""

    async def open(self) -> None:
        """Connects and makes what is put into."""

    async def put(self, envelopes: Sequence[Sealed]) -> None:
        """Returns once all are durable."""

    async def get(self, wanted: int) -> list[bytes]:
        """Waits until there is something."""

    async def ack(self) -> None:
        """Settles what `get` brought last."""

    async def aclose(self) -> None:
        """Disconnects."""


class BareSqlite:
    """A table, a row an envelope; a transaction a call, on disk when it returns."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").fetchall()
        self._connection.execute("CREATE TABLE queue (seq INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        self._last = 0

    async def open(self) -> None:
        """Needs nothing."""

    async def put(self, envelopes: Sequence[Sealed]) -> None:
        """See `Bare.put`."""
        with self._connection:
            self._connection.executemany("INSERT INTO queue (data) VALUES (?)", [(each.data,) for each in envelopes])

    async def get(self, wanted: int) -> list[bytes]:
        """See `Bare.get`."""
        rows: list[Any] = self._connection.execute(
            "SELECT seq, data FROM queue ORDER BY seq LIMIT ?", (wanted,)
        ).fetchall()
        self._last = rows[-1][0]
        return [data for _, data in rows]

    async def ack(self) -> None:
        """See `Bare.ack`."""
        with self._connection:
            self._connection.execute("DELETE FROM queue WHERE seq <= ?", (self._last,))

    async def aclose(self) -> None:
        """See `Bare.aclose`."""
        self._connection.close()


class BareRedis:
    """A stream with a consumer group; a pipeline a call."""

    def __init__(self, settings: dict[str, Any]) -> None:
        from redis.asyncio import Redis

        self._redis = Redis.from_url(settings["url"])
        self._name = f"{settings['name']}-bare"
        self._ids: list[bytes] = []

    async def open(self) -> None:
        """See `Bare.open`."""
        await self._redis.xgroup_create(self._name, "group", id="0", mkstream=True)

    async def put(self, envelopes: Sequence[Sealed]) -> None:
        """See `Bare.put`."""
        pipeline = self._redis.pipeline(transaction=False)
        for each in envelopes:
            pipeline.xadd(self._name, {"e": each.data})
        await pipeline.execute()

    async def get(self, wanted: int) -> list[bytes]:
        """See `Bare.get`."""
        found: Any = await self._redis.xreadgroup("group", "one", {self._name: ">"}, count=wanted, block=5000)
        entries = found[0][1]
        self._ids = [entry for entry, _ in entries]
        return [fields[b"e"] for _, fields in entries]

    async def ack(self) -> None:
        """See `Bare.ack`."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xack(self._name, "group", *self._ids)
        pipeline.xdel(self._name, *self._ids)
        await pipeline.execute()

    async def aclose(self) -> None:
        """See `Bare.aclose`."""
        await self._redis.aclose()


class BareNats:
    """A work-queue stream with one pull consumer; acks are confirmed, as the adapter's are."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._url = settings["url"]
        self._name = f"{settings['name']}-bare"
        self._messages: list[Any] = []

    async def open(self) -> None:
        """See `Bare.open`."""
        import nats
        from nats.js.api import RetentionPolicy

        self._client = await nats.connect(self._url)
        self._stream = self._client.jetstream()
        await self._stream.add_stream(
            name=self._name, subjects=[f"{self._name}.*"], retention=RetentionPolicy.WORK_QUEUE
        )
        self._pulling = await self._stream.pull_subscribe(f"{self._name}.*", durable="one")

    async def put(self, envelopes: Sequence[Sealed]) -> None:
        """See `Bare.put`."""
        sent = [await self._stream.publish_async(f"{self._name}.{each.lane}", each.data) for each in envelopes]
        await asyncio.gather(*sent)

    async def get(self, wanted: int) -> list[bytes]:
        """See `Bare.get`."""
        self._messages = await self._pulling.fetch(wanted, timeout=5)
        return [message.data for message in self._messages]

    async def ack(self) -> None:
        """See `Bare.ack`."""
        await asyncio.gather(*(message.ack_sync() for message in self._messages))

    async def aclose(self) -> None:
        """See `Bare.aclose`."""
        await self._client.close()


class BareKafka:
    """A topic with as many partitions as the adapter's and one consumer; a commit a batch."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._name = f"{settings['name']}-bare"

    async def open(self) -> None:
        """See `Bare.open`."""
        from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic

        url, self._partitions = self._settings["url"], self._settings["partitions"]
        admin = AIOKafkaAdminClient(bootstrap_servers=url)
        await admin.start()
        await admin.create_topics([NewTopic(self._name, self._partitions, 1)])
        await admin.close()
        self._producer = AIOKafkaProducer(bootstrap_servers=url, acks="all")
        await self._producer.start()
        self._consumer = AIOKafkaConsumer(
            self._name,
            bootstrap_servers=url,
            group_id=self._name,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await self._consumer.start()

    async def put(self, envelopes: Sequence[Sealed]) -> None:
        """See `Bare.put`."""
        sent = [
            await self._producer.send(self._name, each.data, partition=each.lane % self._partitions)
            for each in envelopes
        ]
        await asyncio.gather(*sent)

    async def get(self, wanted: int) -> list[bytes]:
        """See `Bare.get`."""
        found = await self._consumer.getmany(timeout_ms=5000, max_records=wanted)
        return [record.value for records in found.values() for record in records]

    async def ack(self) -> None:
        """See `Bare.ack`."""
        await self._consumer.commit()

    async def aclose(self) -> None:
        """See `Bare.aclose`."""
        await self._consumer.stop()
        await self._producer.stop()


class BareSqs:
    """A FIFO queue; ten a call, as many as the service takes."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._handles: list[str] = []

    async def open(self) -> None:
        """See `Bare.open`."""
        from aiobotocore.session import get_session

        settings = self._settings
        creating = get_session().create_client("sqs", region_name=settings["region"], endpoint_url=settings["endpoint"])
        self._context = creating
        self._client = await creating.__aenter__()
        attributes: Any = {
            "FifoQueue": "true",
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
        }
        made = await self._client.create_queue(QueueName=f"{settings['name']}-bare.fifo", Attributes=attributes)
        self._url = made["QueueUrl"]

    async def put(self, envelopes: Sequence[Sealed]) -> None:
        """See `Bare.put`."""
        for start in range(0, len(envelopes), 10):
            entries: Any = [
                {
                    "Id": str(at),
                    "MessageBody": each.data.decode(),
                    "MessageGroupId": str(each.lane),
                    "MessageDeduplicationId": uuid.uuid4().hex,
                }
                for at, each in enumerate(envelopes[start : start + 10])
            ]
            answer = await self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            if answer.get("Failed"):
                raise RuntimeError(answer["Failed"])

    async def get(self, wanted: int) -> list[bytes]:
        """See `Bare.get`."""
        found: list[Any] = []
        while len(found) < wanted:
            answer = await self._client.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=0 if found else 5
            )
            came = answer.get("Messages", [])
            found += came
            if len(came) < 10:
                break
        self._handles = [message["ReceiptHandle"] for message in found]
        return [message["Body"].encode() for message in found]

    async def ack(self) -> None:
        """See `Bare.ack`."""
        for start in range(0, len(self._handles), 10):
            part = self._handles[start : start + 10]
            entries: Any = [{"Id": str(at), "ReceiptHandle": handle} for at, handle in enumerate(part)]
            await self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)

    async def aclose(self) -> None:
        """See `Bare.aclose`."""
        await self._context.__aexit__(None, None, None)


class BarePubsub:
    """A topic with an ordered subscription; a call for all of a put, a pull and its acks."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._ids: list[str] = []

    async def open(self) -> None:
        """See `Bare.open`."""
        import grpc
        from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
        from google.pubsub_v1.types import Subscription

        project, name = self._settings["project"], f"{self._settings['name']}-bare"
        self._channels = [grpc.aio.insecure_channel(self._settings["endpoint"]) for _ in range(2)]
        self._publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=self._channels[0]))
        self._subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=self._channels[1]))
        self._topic, self._subscription = (
            f"projects/{project}/topics/{name}",
            f"projects/{project}/subscriptions/{name}",
        )
        await self._publisher.create_topic(name=self._topic)
        await self._subscriber.create_subscription(
            Subscription(
                name=self._subscription, topic=self._topic, ack_deadline_seconds=60, enable_message_ordering=True
            )
        )

    async def put(self, envelopes: Sequence[Sealed]) -> None:
        """See `Bare.put`."""
        from google.pubsub_v1 import PubsubMessage

        messages = [PubsubMessage(data=each.data, ordering_key=str(each.lane)) for each in envelopes]
        await self._publisher.publish(topic=self._topic, messages=messages)

    async def get(self, wanted: int) -> list[bytes]:
        """See `Bare.get`."""
        answer = await self._subscriber.pull(subscription=self._subscription, max_messages=wanted)
        self._ids = [each.ack_id for each in answer.received_messages]
        return [each.message.data for each in answer.received_messages]

    async def ack(self) -> None:
        """See `Bare.ack`."""
        await self._subscriber.acknowledge(subscription=self._subscription, ack_ids=self._ids)

    async def aclose(self) -> None:
        """See `Bare.aclose`."""
        for channel in self._channels:
            await channel.close()


BARE: dict[str, Any] = {
    "kafka": BareKafka,
    "nats": BareNats,
    "pubsub": BarePubsub,
    "redis": BareRedis,
    "sqs": BareSqs,
}
