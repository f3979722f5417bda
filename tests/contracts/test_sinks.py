"""Every registered sink keeps the contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from chat_moderator import registry
from chat_moderator.protocols import Sink
from chat_moderator.sinks import jsonl, webhook
from chat_moderator.sinks.jsonl import JsonlSink
from chat_moderator.sinks.webhook import WebhookSink
from chat_moderator.testing.sinks import CHECKS, Check, Read
from chat_moderator.types import Record, Struct
from tests.servers.receiver import receiving

NAMES = ("jsonl", "webhook")


class Posted(Struct, frozen=True):
    """The body of a webhook."""

    type: str
    records: list[Record]


def test_every_registered_sink_has_a_case() -> None:
    assert sorted(NAMES) == registry.names("sink")


@pytest.fixture(params=NAMES)
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Sink, Read]]:
    if request.param == "jsonl":
        path = tmp_path / "sub" / "decisions.jsonl"
        sink = JsonlSink(jsonl.Config(path=str(path)))
        yield sink, lambda: msgspec.json.Decoder(Record).decode_lines(path.read_bytes())
        await sink.aclose()
        return
    async with receiving() as receiver:
        poster = WebhookSink(webhook.Config(url=receiver.url))
        yield (
            poster,
            lambda: [
                record
                for delivery in receiver.deliveries
                for record in msgspec.json.decode(delivery.body, type=Posted).records
            ],
        )
        await poster.aclose()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_sink(check: Check, case: tuple[Sink, Read]) -> None:
    await check(*case)
