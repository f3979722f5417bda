"""What a broker's queue does with odd input: too large, not ours, wrong credentials, not there, of another shape."""

import asyncio
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from redis.asyncio import Redis

from chat_moderator import registry
from chat_moderator.errors import ConfigError, TooLargeError, TransientError
from chat_moderator.gateway.problems import problem_of
from chat_moderator.protocols import Lease, Queue
from chat_moderator.queues.envelope import MOST, Envelope, seal, sealed, unseal
from chat_moderator.testing.factories import make_message
from tests.servers.brokers import Broker, NatsBroker, RedisBroker, SqsBroker

ODD = "\x01\t \ufffe\uffff \N{GRINNING FACE} \u202e </script> \\u0000 {[\"'"


async def leased(queue: Queue) -> Lease:
    lease = await queue.lease(100, wait=timedelta(seconds=15))
    assert lease is not None
    return lease


async def test_every_character_comes_out_as_it_went_in(broker: Broker) -> None:
    message = make_message(ODD, channel=ODD, id=ODD)
    async with broker.queue() as queue:
        await queue.put([message])
        lease = await leased(queue)
        assert list(lease.messages) == [message]
        await lease.ack()


async def test_a_message_that_is_too_large_is_refused_at_the_door_and_nothing_is_kept(broker: Broker) -> None:
    small, large = make_message(channel="a"), make_message("x" * 5_000_000, channel="a")
    async with broker.queue() as queue:
        with pytest.raises(TooLargeError) as refused:
            await queue.put([small, large])
        assert problem_of(refused.value).status == 413
        assert await queue.lease(10, wait=timedelta(seconds=0.5)) is None


async def test_a_message_of_the_largest_text_goes_through(broker: Broker) -> None:
    messages = [make_message("\N{GRINNING FACE}" * 20_000, channel="a") for _ in range(5)]
    async with broker.queue() as queue:
        await queue.put(messages)
        received: list[Any] = []
        while len(received) < len(messages):
            lease = await leased(queue)
            received += lease.messages
            await lease.ack()
        assert received == messages


async def test_what_another_producer_put_into_redis_goes_to_the_dead_letters(tmp_path: Path) -> None:
    broker = RedisBroker(tmp_path)
    try:
        settings = broker.settings(broker.server.port)
        queue = broker.opened(settings)
        async with Redis.from_url(settings["url"]) as redis:
            lane = sealed(Envelope((make_message(channel="a"),))).lane
            key = f"{{{settings['name']}}}:lanes:{lane}"
            odd: list[dict[Any, Any]] = [
                {"e": "not JSON"},
                {"other": "x"},
                {"e": '{"messages":[]}'},
                {"e": '{"messages":[{"id":1}]}'},
            ]
            for fields in odd:
                await redis.xadd(key, fields)
            await redis.xadd(key, {"e": '{"messages":[{"id":"1","text":"hello","channel":"a"}]}'})
        lease = await leased(queue)
        assert [message.text for message in lease.messages] == ["hello"]
        await lease.ack()
        assert (await queue.depth()).dead == 4
        await queue.aclose()
    finally:
        broker.stop()


async def test_a_key_of_another_program_is_said_to_be_in_the_way(tmp_path: Path) -> None:
    broker = RedisBroker(tmp_path)
    try:
        settings = broker.settings(broker.server.port)
        async with Redis.from_url(settings["url"]) as redis:
            await redis.set(f"{{{settings['name']}}}:counts", "mine")
        queue = broker.opened(settings)
        with pytest.raises(ConfigError, match=r"queue.name.*another program"):
            await queue.open()
        await queue.aclose()
        wrong = broker.opened(settings | {"url": settings["url"].replace("//", "//nobody:wrong@")})
        with pytest.raises(ConfigError, match=r"queue.url.*user or password"):
            await wrong.open()
        await wrong.aclose()
    finally:
        broker.stop()


async def test_a_stream_of_another_shape_is_refused_with_the_cure(tmp_path: Path) -> None:
    broker = NatsBroker(tmp_path)
    try:
        settings = broker.settings(broker.server.port)
        client = await nats.connect(settings["url"])
        await client.jetstream().add_stream(name=settings["name"], subjects=[f"{settings['name']}.>"])
        await client.close()
        queue = broker.opened(settings)
        with pytest.raises(ConfigError, match="of another shape: choose another name"):
            await queue.open()
        await queue.aclose()
    finally:
        broker.stop()


async def test_a_missing_queue_is_named_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    broker = SqsBroker(tmp_path)
    try:
        queue = broker.opened(broker.settings(broker.server.port) | {"create": False})
        with pytest.raises(ConfigError, match=r"has no queue '[\w-]+.fifo'.*queue.create = true"):
            await queue.open()
        await queue.aclose()
    finally:
        broker.stop()


async def test_a_server_that_accepts_and_never_answers_is_given_up(unused: int) -> None:
    kind, config = registry.configure("queue", "nats", {"url": f"nats://127.0.0.1:{unused}"}, path="queue")
    queue = kind(config)
    with pytest.raises(TransientError):
        async with asyncio.timeout(20):
            await queue.open()
    await queue.aclose()


@pytest.fixture
def unused() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_envelopes_hold_a_lane_in_order_and_fit() -> None:
    messages = [make_message("x" * (number % 700), channel=f"c{number % 3}") for number in range(1000)]
    envelopes = seal(messages, largest=10_000)
    opened = [(each.lane, unseal(each.data)) for each in envelopes]
    assert max(len(each.data) for each in envelopes) <= 10_000
    assert max(each.count for each in envelopes) <= MOST
    for channel in {message.channel for message in messages}:
        came = [message for _, envelope in opened for message in envelope.messages if message.channel == channel]
        assert came == [message for message in messages if message.channel == channel]


def test_an_envelope_by_hand_needs_its_messages_only() -> None:
    envelope = unseal(b'{"messages": [{"id": "1", "text": "hello"}]}')
    assert (envelope.attempts, envelope.received_at) == (1, 0.0)
    assert envelope.messages[0].text == "hello"
    assert msgspec.json.decode(sealed(envelope).data) == {"messages": [{"id": "1", "text": "hello"}]}
