import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from chat_moderator.config import Settings
from chat_moderator.gateway import chat
from chat_moderator.store.audit import RecordsAfter
from chat_moderator.types import Record, Verdict
from tests.gateway.serving import Gateway, gateway_on, receive, send

ROOM = "/v1/chat/lobby"


async def say(window: ClientConnection, identifier: str, text: str, name: str = "Robin") -> dict[str, Any]:
    await send(window, {"type": "post", "id": identifier, "name": name, "text": text})
    return await receive(window, "ack", "error")


async def records(gateway: Gateway) -> list[Record]:
    return await gateway.app.store.ask(RecordsAfter(seq=0, limit=1000))


async def test_a_clean_message_appears_in_every_window_and_is_acknowledged_to_its_author(gateway: Gateway) -> None:
    async with gateway.connect(f"{ROOM}?author=a1") as mine, gateway.connect(f"{ROOM}?author=b2") as theirs:
        assert (await receive(mine, "history"))["messages"] == []
        assert (await receive(theirs, "history"))["messages"] == []
        ack = await say(mine, "m1", "hello there")
        shown = await receive(theirs, "message")
        own = await receive(mine, "message")
        assert (ack["id"], ack["verdict"], ack["reason"]) == ("m1", "allow", "")
        assert shown == own
        assert (shown["author"], shown["text"], shown["seq"]) == ("Robin", "hello there", ack["seq"])
        assert abs(shown["at"] - time.time()) < 60


async def test_a_toxic_message_never_reaches_another_window_and_its_author_learns_why(gateway: Gateway) -> None:
    async with gateway.connect(ROOM) as mine, gateway.connect(ROOM) as theirs:
        ack = await say(mine, "m1", "you are bad")
        assert (ack["verdict"], ack["label"], ack["spans"]) == ("block", "toxicity", [[8, 11, "toxicity"]])
        assert ack["rule"]
        assert len(ack["reason"].split()) > 3
        await say(mine, "m2", "sorry")
        assert (await receive(theirs, "message"))["text"] == "sorry"
    async with gateway.connect(ROOM) as later:
        history = await receive(later, "history")
        assert [message["text"] for message in history["messages"]] == ["sorry"]


async def test_what_is_sent_again_is_acknowledged_identically_and_shown_once(gateway: Gateway) -> None:
    async with gateway.connect(ROOM) as mine, gateway.connect(ROOM) as theirs:
        for text in ("hello", "bad"):
            first = await say(mine, text, text)
            assert await say(mine, text, text) == first
        assert (await say(mine, "hello", "something else"))["type"] == "error"
        await say(mine, "end", "end")
        assert [(await receive(theirs, "message"))["text"] for _ in range(2)] == ["hello", "end"]
    assert [record.message.id for record in await records(gateway)] == ["hello", "bad", "end"]


async def test_rooms_do_not_hear_each_other(gateway: Gateway) -> None:
    async with gateway.connect(ROOM) as lobby, gateway.connect("/v1/chat/other-room-2") as other:
        await say(lobby, "1", "in the lobby")
        await say(other, "1", "in the other")
        assert (await receive(other, "message"))["text"] == "in the other"


async def test_a_held_message_appears_once_a_moderator_approves_it(gateway: Gateway) -> None:
    async with gateway.connect(ROOM) as mine, gateway.connect(ROOM) as theirs:
        ack = await say(mine, "1", "odd")
        assert ack["verdict"] == "hold"
        assert ack["reason"]
        resolved = await gateway.post(f"/v1/reviews/{ack['seq']}", {"verdict": "approve"})
        assert resolved.status_code == 200
        assert (await receive(theirs, "message"))["text"] == "odd"


async def test_without_a_verdict_in_time_a_message_is_held_and_stored_once(tmp_path: Path) -> None:
    settings = msgspec.convert({"chat": {"deadline": 0.1}}, Settings)
    async with (
        gateway_on(tmp_path, settings) as gateway,
        gateway.connect(ROOM) as mine,
        gateway.connect(ROOM) as theirs,
    ):
        first = await say(mine, "1", "slow")
        again = await say(mine, "1", "slow")
        assert first == again
        assert first["verdict"] == "hold"
        assert first["reason"]
        gateway.classifier.answer.set()
        await say(mine, "2", "quick")
        assert (await receive(theirs, "message"))["text"] == "quick"
        assert [record.decision.verdict for record in await records(gateway)] == [Verdict.HOLD, Verdict.ALLOW]


async def test_a_text_that_cannot_be_judged_is_shown_to_nobody_and_its_author_hears_of_it(gateway: Gateway) -> None:
    async with gateway.connect(ROOM) as mine, gateway.connect(ROOM) as theirs:
        answer = await say(mine, "1", "poison")
        assert answer.get("verdict") == "hold" or answer["type"] == "error"
        await say(mine, "2", "fine")
        assert (await receive(theirs, "message"))["text"] == "fine"


async def test_live_numbers_come_once_a_second(gateway: Gateway) -> None:
    async with gateway.connect(ROOM) as window:
        began = time.monotonic()
        frames = [await receive(window, "live") for _ in range(3)]
        assert 1.5 < time.monotonic() - began < 6
        assert all(set(frame) == {"type", "rate", "blocked", "p50", "p99"} for frame in frames)


async def test_what_cannot_be_taken_is_refused_in_plain_words_and_the_window_stays(gateway: Gateway) -> None:
    async with gateway.connect(ROOM) as window:
        for frame, identifier in (
            ({"type": "post", "id": "1", "name": "R", "text": "x" * 2001}, "1"),
            ({"type": "post", "id": "2", "name": "R", "text": ""}, "2"),
            ({"type": "post", "id": "3", "name": "R", "text": " \n"}, "3"),
            ({"type": "post", "id": "4", "name": "", "text": "x"}, "4"),
            ({"type": "post", "id": "5", "name": "x" * 41, "text": "x"}, "5"),
            ({"type": "post", "id": "", "name": "R", "text": "x"}, ""),
            ({"type": "post", "id": "7", "name": "R"}, "7"),
            ({"type": "post", "id": "8", "name": "R", "text": "a\0b"}, "8"),
            ({"type": "post", "id": "9", "name": "R", "text": 5}, "9"),
            ({"type": "shout", "id": "10", "name": "R", "text": "x"}, "10"),
            ({"type": "post", "id": 11, "name": "R", "text": "x"}, ""),
            ([], ""),
        ):
            await window.send(msgspec.json.encode(frame).decode())
            refused = await receive(window, "error", "ack")
            assert refused["type"] == "error", frame
            assert (refused["id"], bool(refused["reason"])) == (identifier, True)
        await window.send('{"type":"post","id":"12","name":"R","text":"\\ud800"}')
        assert (await receive(window, "error"))["reason"]
        assert (await say(window, "13", "x" * 2000))["verdict"] == "allow"
    assert len(await records(gateway)) == 1


async def test_a_window_that_floods_is_slowed_and_not_ended(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "RATE", 0.001)
    monkeypatch.setattr(chat, "BURST", 3.0)
    async with gateway.connect(ROOM) as window:
        answers = [await say(window, str(number), "hello") for number in range(6)]
        assert [answer["type"] for answer in answers] == ["ack"] * 3 + ["error"] * 3
        assert "wait" in answers[-1]["reason"]


async def test_rooms_and_authors_that_are_none_refuse_the_handshake(gateway: Gateway) -> None:
    for path in ("/v1/chat/Lobby", "/v1/chat/a_b", f"/v1/chat/{'x' * 41}", "/v1/chat/%00", f"{ROOM}?author=%20"):
        with pytest.raises(InvalidStatus) as refused:
            await gateway.connect(path).__aenter__()
        assert refused.value.response.status_code == 400, path


async def test_a_window_that_lags_behind_is_asked_to_connect_again(gateway: Gateway) -> None:
    async with gateway.connect(ROOM) as window:
        await receive(window, "history")
        for queue in gateway.app.chat._rooms["lobby"]:
            queue.put_nowait(None)
        async with asyncio.timeout(5):
            await window.wait_closed()
        assert window.close_code == 1013


async def test_the_page_and_its_parts_come_with_a_strict_policy(gateway: Gateway) -> None:
    home = await gateway.http.get("/")
    assert (home.status_code, home.headers["location"]) == (307, "chat")
    for path, media in (("/chat", "text/html"), ("/chat/chat.js", "text/javascript"), ("/chat/chat.css", "text/css")):
        answer = await gateway.http.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(media)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    for path in ("/chat/chat.html", "/chat/__init__.py", "/chat/..%2f__init__.py"):
        assert (await gateway.http.get(path)).status_code == 404


async def test_a_slash_too_many_leads_back_to_the_page(gateway: Gateway) -> None:
    answer = await gateway.http.get("/chat/")
    assert (answer.status_code, answer.headers["location"]) == (307, "../chat")
