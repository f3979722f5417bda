"""The sources without a platform hand over what they have, and the web chat's enforcer keeps the contract."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from chat_moderator.errors import ConfigError
from chat_moderator.protocols import Enforcer
from chat_moderator.sources import replay
from chat_moderator.sources.replay import ReplaySource
from chat_moderator.sources.webchat import WebChat, message_of
from chat_moderator.store.database import Database
from chat_moderator.testing.doubles import JournalIntake
from chat_moderator.testing.enforcers import CHECKS, Check
from chat_moderator.testing.factories import make_message
from chat_moderator.types import Author, Decision, Message, Record


@pytest.fixture
async def enforcer(tmp_path: Path) -> AsyncIterator[Enforcer]:
    async def undecided(messages: Sequence[Message]) -> Sequence[Decision]:
        raise AssertionError("an enforcer judges nothing")

    def committed(records: Sequence[Record]) -> None:
        raise AssertionError("an enforcer commits nothing")

    store = Database(tmp_path)
    yield WebChat(store, undecided, committed)
    store.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_enforcer(check: Check, enforcer: Enforcer) -> None:
    await check(enforcer, message_of("lobby", "m1", Author("u1", "ada"), "hello"))


async def test_replay_hands_over_a_file_in_order(tmp_path: Path) -> None:
    messages = [make_message(f"line {number}") for number in range(600)]
    path = tmp_path / "chat.jsonl"
    path.write_bytes(msgspec.json.Encoder().encode_lines(messages) + b"\n  \n")
    intake = JournalIntake()
    await ReplaySource(replay.Config(path=str(path))).run(intake)
    assert intake.messages == messages


@pytest.mark.parametrize(
    "line", [b"{", b'{"id": 1, "text": "a"}', b"\xff\xfe", b'{"id": "1", "text": "a", "nick": "b"}']
)
def test_replay_names_the_line_that_is_no_message(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_bytes(msgspec.json.encode(make_message()) + b"\n" + line + b"\n")
    with pytest.raises(ConfigError, match=r"chat\.jsonl:2: not a message"):
        list(ReplaySource(replay.Config(path=str(path))).batches())
