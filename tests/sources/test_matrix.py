"""What only Matrix has, against a real homeserver; and how its texts are read."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.errors import ConfigError, NotFoundError, TransientError
from chat_moderator.protocols import Enforcer
from chat_moderator.sources.matrix import Config, Matrix
from chat_moderator.sources.matrix_alerts import alert_of, meant, notice, text_of
from chat_moderator.sources.matrix_client import MatrixClient
from chat_moderator.sources.matrix_mutes import MatrixMutes
from chat_moderator.sources.matrix_setup import MatrixSetup
from chat_moderator.testing.doubles import JournalIntake
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.testing.sources import connected
from chat_moderator.types import Verdict
from tests.servers.matrix import MatrixPlatform, homeserver, matrix_server


@pytest.fixture
async def matrix() -> AsyncIterator[MatrixPlatform]:
    async with matrix_server() as server:
        yield server


async def test_nobody_edits_the_messages_of_others(matrix: MatrixPlatform) -> None:
    async with connected(matrix) as (source, intake):
        identifier = await matrix.say("hello from ada")
        await matrix.edit(identifier, "you idiot", by="bea")
        await intake.texts(2)
        hers, forged = intake.messages
        assert forged.id != hers.id
        assert forged.author.name == "bea"
        assert "you idiot" in forged.text
        assert isinstance(source, Enforcer)
        await source.delete(forged, reason="test")
        assert matrix.texts() == ["hello from ada"]


async def test_an_edit_of_a_message_from_before_the_start_is_its_authors(matrix: MatrixPlatform) -> None:
    identifier = await matrix.say("long ago")
    async with connected(matrix) as (_, intake):
        await matrix.edit(identifier, "changed")
        assert await intake.texts(1) == ["changed"]
        assert intake.messages[0].id == identifier
        assert intake.messages[0].revision > 0


async def test_reads_all_of_a_busy_room_after_a_restart(matrix: MatrixPlatform) -> None:
    intake = JournalIntake("matrix")
    async with connected(matrix, intake):
        await matrix.say("before")
        await intake.texts(1)
    written = [f"message {number}" for number in range(130)]
    for text in written:
        await matrix.say(text)
    async with connected(matrix, intake):
        assert await intake.texts(131) == ["before", *written]
        assert intake.gaps == []


async def test_an_encrypted_room_is_named(matrix: MatrixPlatform) -> None:
    async with connected(matrix) as (_, intake):
        room = matrix.rooms["general"]
        ada = matrix.member("ada", room)
        ada.send(room, {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"}, "m.room.encrypted")
        await matrix.say("in clear")
        await intake.texts(1)
        assert "encrypted" in intake.problems[f"encryption {room}"]


async def test_a_room_that_it_was_removed_from_is_named_and_the_others_go_on(matrix: MatrixPlatform) -> None:
    async with connected(matrix) as (_, intake):
        room = matrix.rooms["random"]
        matrix.owner.call("POST", f"/rooms/{room}/kick", {"user_id": matrix.bot.id})
        await matrix.say("still read")
        await intake.texts(1)
        assert "invite it again" in intake.problems[f"room {room}"]


async def test_odd_events_stop_nothing(matrix: MatrixPlatform) -> None:
    odd: tuple[dict[str, Any], ...] = (
        {},
        {"body": 3},
        {"msgtype": "m.text"},
        {"msgtype": "m.text", "body": "x", "m.relates_to": 3},
        {"msgtype": "m.text", "body": "x", "m.relates_to": {"rel_type": "m.replace"}},
        {"msgtype": "m.text", "body": "x", "m.relates_to": {"rel_type": "m.replace", "event_id": "$none"}},
        {
            "msgtype": "m.text",
            "body": "x",
            "m.relates_to": {"rel_type": "m.replace", "event_id": "$n", "m.new_content": 1},
        },
        {"msgtype": "m.text", "body": "x", "formatted_body": ["y"], "m.relates_to": {"m.in_reply_to": []}},
    )
    async with connected(matrix) as (_, intake):
        room = matrix.rooms["general"]
        ada = matrix.member("ada", room)
        for number, content in enumerate(odd):  # the homeserver refuses some of them itself
            ada.http.put(f"/_matrix/client/v3/rooms/{room}/send/m.room.message/odd{number}", json=content)
        ada.send(room, {"m.relates_to": "x"}, "m.reaction")
        await matrix.say("the last")
        await intake.until(lambda: intake.messages[-1:] != [] and intake.messages[-1].text == "the last")


async def test_a_timeout_is_ended_after_a_restart(matrix: MatrixPlatform) -> None:
    room = matrix.rooms["general"]
    ada = matrix.member("ada", room)
    matrix.level(room, ada, 7)
    client = MatrixClient(matrix.url, matrix.bot.token)
    await MatrixMutes(client).mute(room, ada.id, timedelta(seconds=0))
    await client.aclose()
    assert matrix.timed_out() == ["ada"]
    async with connected(matrix):
        while matrix.timed_out():
            await matrix.say("waiting", author="bea")
    assert matrix.levels(room)["users"][ada.id] == 7


async def test_the_homeservers_own_limit_is_waited_for(matrix: MatrixPlatform) -> None:
    path = f"/_synapse/admin/v1/users/{matrix.bot.id}/override_ratelimit"
    matrix.owner.http.post(path, json={"messages_per_second": 1, "burst_count": 1})
    client = MatrixClient(matrix.url, matrix.bot.token)
    room = matrix.rooms["general"]

    async def send() -> None:
        await client.call(lambda nio: nio.room_send(room, "m.room.message", notice("x")), "send messages", room)

    with pytest.raises(TransientError) as raised:
        await asyncio.gather(*(send() for _ in range(10)))
    assert raised.value.retry_after is not None
    assert timedelta() < raised.value.retry_after < timedelta(seconds=20)
    await send()  # waits as it was told
    await client.aclose()


async def test_what_is_not_there_is_said(matrix: MatrixPlatform) -> None:
    client = MatrixClient(matrix.url, matrix.bot.token)
    with pytest.raises(NotFoundError):
        await client.ask(["rooms", matrix.rooms["general"], "state", "m.none"], "read")
    await client.aclose()


async def test_setup_says_what_is_missing(matrix: MatrixPlatform) -> None:
    answers = {"homeserver": homeserver(), "token": matrix.bot.token, "moderators_channel": matrix.rooms["moderators"]}
    assert await MatrixSetup().examine(answers) == []
    matrix.forbid()
    found = [each.problem for each in await MatrixSetup().examine(answers)]
    assert len(found) == 1
    assert "redact messages (50) and to time authors out (100)" in found[0]
    (wrong,) = await MatrixSetup().examine(answers | {"token": "nonsense"})
    assert "refuses the token" in wrong.problem
    elsewhere = await MatrixSetup().examine(answers | {"moderators_channel": "!none:localhost"})
    assert "moderators' room" in elsewhere[0].problem
    (address,) = await MatrixSetup().examine(answers | {"homeserver": "matrix.example.org"})
    assert "https://" in address.cure
    with pytest.raises(TransientError):
        await MatrixSetup().examine(answers | {"homeserver": "http://127.0.0.1:9"})


@pytest.mark.parametrize(
    ("key", "value"), [("homeserver", "matrix.org"), ("token", ""), ("moderators_channel", "#mods:localhost")]
)
def test_wrong_settings_are_named(key: str, value: str) -> None:
    right = {"homeserver": "https://matrix.org", "token": "t"}
    with pytest.raises(ConfigError, match=key):
        Matrix(Config(**(right | {key: value})))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"body": "hello"}, "hello"),
        ({"body": "hello", "formatted_body": "<b>hello</b>"}, "hello"),
        ({"body": "hello", "formatted_body": "you <i>id</i>iot &amp; co"}, "hello\nyou idiot & co"),
        ({"body": "  ", "formatted_body": "one<br/>two"}, "one\ntwo"),
        ({"msgtype": "m.image", "body": "photo.jpg"}, ""),
        ({"msgtype": "m.image", "body": "look", "filename": "photo.jpg"}, "look"),
        ({"body": "> <@bea:x> you\n\nno", "m.relates_to": {"m.in_reply_to": {"event_id": "$1"}}}, "no"),
        ({"body": "> quoted by hand"}, "> quoted by hand"),
        ({"body": ["list"]}, ""),
    ],
)
def test_all_that_people_read_is_judged(content: dict[str, Any], text: str) -> None:
    assert text_of("m.room.message", content) == text


def test_a_poll_is_judged_with_its_answers() -> None:
    start = {"question": {"m.text": [{"body": "who?"}]}, "answers": [{"id": "1", "m.text": [{"body": "you"}]}]}
    assert text_of("m.poll.start", {"m.poll": start}) == "who?\nyou"
    old = {"question": {"org.matrix.msc1767.text": "who?"}, "answers": [{"org.matrix.msc1767.text": "me"}]}
    assert text_of("org.matrix.msc3381.poll.start", {"org.matrix.msc3381.poll.start": old}) == "who?\nme"


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_content_is_too_odd(value: Any) -> None:
    for key in ("body", "formatted_body", "m.relates_to", "m.poll"):
        for kind in ("m.room.message", "m.poll.start"):
            assert isinstance(text_of(kind, {key: value}), str)


def test_a_reaction_means_what_its_alert_says() -> None:
    blocked = alert_of(make_record(make_message(), Verdict.BLOCK))
    held = alert_of(make_record(make_message(), Verdict.HOLD))
    assert meant(blocked, "\u21a9") == (0, True)  # with the selector of emoji or without
    assert meant(blocked, "\u2705") == (0, False)
    assert meant(held, "\u2705") == (0, True)
    assert meant(held, "\u274c\ufe0f") == (0, False)
    assert meant(held, "\u21a9\ufe0f") is None
    assert meant(held, "") is None
    assert meant({"chat_moderator": {"record": "1"}}, "\u2705") is None
