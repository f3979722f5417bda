"""Both clients against a real server: what they promise, and what they do when it misbehaves."""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from chat_moderator.client import Client, Decision, MessageRefusedError
from chat_moderator.gateway import stream
from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.database import Database
from chat_moderator.store.keys import KeyLimits, LimitKey
from chat_moderator.store.tickets import SignTicket, Ticket
from chat_moderator.types import Author, Message, Role
from tests.client.peers import CONSOLE, PEERS, MakePeer, Refused
from tests.gateway.serving import Gateway, gateway_on, message
from tests.running import Running, free_port

LARGEST_SCRIPT = 2048
"""Bytes of the JavaScript client as it is shipped."""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway_on(tmp_path) as running:
        await running.make_keys()
        yield running


@pytest.fixture(params=list(PEERS))
def connect(request: pytest.FixtureRequest) -> MakePeer:
    return PEERS[request.param]


async def test_before_it_is_shown_a_message_gets_its_decision(gateway: Gateway, connect: MakePeer) -> None:
    async with connect(gateway.url, token=gateway.tokens[Role.CLIENT]) as peer:
        asked = [peer.moderate(message(text, text, channel="lobby")) for text in ("hello", "you are bad", "odd")]
        hello, bad, odd = await asyncio.gather(*asked)
        assert [each["action"] for each in (hello, bad, odd)] == ["allow", "block", "hold"]
        assert (bad["id"], bad["label"], bad["spans"]) == ("you are bad", "toxicity", [[8, 11, "toxicity"]])
        assert bad["rule"].startswith("threshold")
        twice = await asyncio.gather(*(peer.moderate(message("twice", "one text")) for _ in range(2)))
        assert twice[0] == twice[1]


async def test_after_it_is_shown_a_decision_is_heard_and_so_is_a_moderators_later_word(
    gateway: Gateway, connect: MakePeer
) -> None:
    async with connect(gateway.url, token=gateway.tokens[Role.CLIENT]) as peer:
        for text in ("hello", "bad", "odd one", "odd two"):
            await peer.send(message(text, text))
        await peer.until(lambda: len(peer.decisions) == 4)
        assert dict(peer.decisions) == {"hello": "allow", "bad": "block", "odd one": "hold", "odd two": "hold"}
        records = {each.message.id: each.seq for each in await gateway.app.store.ask(RecordsAfter(seq=0, limit=9))}
        for text, verdict in (("odd one", "approve"), ("odd two", "deny"), ("bad", "approve")):
            said = await gateway.post(
                f"/v1/reviews/{records[text]}", {"verdict": verdict}, **gateway.bearer(Role.MODERATOR)
            )
            assert said.status_code == 200
        await peer.until(lambda: len(peer.decisions) == 7)
        assert peer.decisions[4:] == [("odd one", "allow"), ("odd two", "block"), ("bad", "allow")]
        assert peer.rules[4:] == ["review: approved", "review: denied", "review: approved"]


async def test_past_the_deadline_the_verdict_on_failure_stands_and_the_decision_is_heard_late(
    gateway: Gateway, connect: MakePeer
) -> None:
    async with connect(gateway.url, token=gateway.tokens[Role.CLIENT], deadline=0.2, on_failure="block") as peer:
        answer = await peer.moderate(message("1", "slow", channel="lobby"))
        assert (answer["id"], answer["action"], answer["degraded"]) == ("1", "block", True)
        assert answer["rule"] == "on_failure: no verdict in time"
        await peer.send(message("2"))  # a connection there must be by the time it is decided
        gateway.classifier.answer.set()
        await peer.until(lambda: len(peer.decisions) == 2)
        assert dict(peer.decisions) == {"1": "allow", "2": "allow"}


async def test_without_a_server_the_verdict_on_failure_comes_in_time(connect: MakePeer) -> None:
    async with connect(f"http://127.0.0.1:{free_port()}/", deadline=0.3, on_failure="allow") as peer:
        assert (await peer.moderate(message("1")))["action"] == "allow"


async def test_a_wrong_key_is_refused_at_once_and_not_tried_again(gateway: Gateway, connect: MakePeer) -> None:
    async with connect(gateway.url, token="cm_wrong") as peer:
        with pytest.raises(Refused) as refused:
            await peer.moderate(message("1"))
        assert refused.value.status == 401
        await peer.send(message("2"))
        await peer.until(lambda: peer.errors == [401, 401])
        with pytest.raises(Refused):
            await peer.moderate(message("3"))
    assert await gateway.app.store.ask(RecordsAfter(seq=0, limit=9)) == []


async def test_a_key_that_is_revoked_meanwhile_is_refused_too(gateway: Gateway, connect: MakePeer) -> None:
    async with connect(gateway.url, token=gateway.tokens[Role.CLIENT]) as peer:
        await peer.moderate(message("1"))
        await gateway.http.delete(f"/v1/keys/{gateway.ids[Role.CLIENT]}", headers=gateway.bearer(Role.ADMIN))
        with pytest.raises(Refused) as refused:
            await peer.moderate(message("2"))
        assert refused.value.status == 401


async def test_a_client_that_gets_tickets_goes_on_when_one_is_over(gateway: Gateway) -> None:
    made: list[str] = []

    async def ticket() -> str:
        seconds = (-1.0, 1.5)[len(made)] if len(made) < 2 else 300.0
        ticket = Ticket(Author("u-17"), time.time() + seconds, "lobby")
        made.append(await gateway.app.store.ask(SignTicket(key=gateway.ids[Role.CLIENT], ticket=ticket)))
        return made[-1]

    heard: asyncio.Queue[Decision] = asyncio.Queue()
    async with Client(gateway.url, token=ticket, deadline=60, on_decision=heard.put_nowait) as client:
        number = 0
        while len(made) < 3:
            number += 1
            assert (await client.moderate(Message(str(number), "hello", channel="lobby"))).rule == "default"
            assert (await heard.get()).id == str(number)
        with pytest.raises(MessageRefusedError, match="channel 'lobby'"):
            await client.moderate(Message("elsewhere", "hello", channel="other"))
    assert heard.empty()


async def test_a_client_goes_on_where_an_earlier_one_ended(gateway: Gateway) -> None:
    heard: list[str] = []
    token = gateway.tokens[Role.CLIENT]
    async with Client(gateway.url, token=token, deadline=60) as client:
        await client.moderate(Message("1", "hello"))
        place = client.place
    await gateway.post("/v1/moderate", {"messages": [message("2")]}, **gateway.bearer(Role.CLIENT))
    hear = partial(_note, heard)
    async with Client(gateway.url, token=token, deadline=60, on_decision=hear, place=place) as client:
        await client.moderate(Message("3", "hello"))
    assert heard == ["2", "3"]


def _note(heard: list[str], decision: Decision) -> None:
    heard.append(decision.id)


async def test_what_the_server_would_never_take_is_refused_and_the_rest_goes_on(
    gateway: Gateway, connect: MakePeer
) -> None:
    async with connect(gateway.url, token=gateway.tokens[Role.CLIENT]) as peer:
        for identifier, text, status, field in (
            ("long", "x" * 20_001, 400, "messages[0].text"),
            ("huge", "x" * 200_000, 413, ""),
            ("nul", "a\0b", 400, "messages[0].text"),
        ):
            with pytest.raises(Refused) as refused:
                await peer.moderate(message(identifier, text))
            assert (refused.value.status, refused.value.field) == (status, field)
        assert (await peer.moderate(message("longest", "\x01" * 20_000)))["action"] == "allow"
        await peer.moderate(message("1", "one text"))
        with pytest.raises(Refused) as refused:
            await peer.moderate(message("1", "another text"))
        assert refused.value.status == 409
        await peer.send(message("2", "x" * 20_001))
        await peer.until(lambda: peer.errors == [400])


async def test_what_comes_too_fast_is_sent_again_when_the_server_says(
    gateway: Gateway, connect: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RATE", 40.0)
    monkeypatch.setattr(stream, "BURST", 5.0)
    async with connect(gateway.url, token=gateway.tokens[Role.CLIENT]) as peer:
        answers = await asyncio.gather(*(peer.moderate(message(str(number))) for number in range(40)))
        assert {each["action"] for each in answers} == {"allow"}
        await peer.until(lambda: len(peer.decisions) >= 40)
        assert Counter(identifier for identifier, _ in peer.decisions) == dict.fromkeys(map(str, range(40)), 1)


async def test_past_the_quota_messages_wait_and_the_verdict_on_failure_stands(
    gateway: Gateway, connect: MakePeer
) -> None:
    await gateway.app.store.execute(LimitKey(id=gateway.ids[Role.CLIENT], limits=KeyLimits(quota=1)))
    gateway.server.services.keys.forget()
    token = gateway.tokens[Role.CLIENT]
    async with connect(gateway.url, token=token) as peer:
        assert (await peer.moderate(message("1")))["rule"] == "default"
    async with connect(gateway.url, token=token, deadline=1.0) as peer:
        assert (await peer.moderate(message("2")))["rule"] == "on_failure: no verdict in time"


async def test_nothing_is_lost_or_doubled_when_the_server_dies_twice_meanwhile(
    tmp_path: Path, connect: MakePeer
) -> None:
    total = 120
    config = tmp_path / "moderator.toml"
    config.write_text('[queue]\ntype = "embedded"\nlease = 1.0\n')  # what was being judged waits no longer
    running = Running(tmp_path, free_port(), "--config", str(config))
    try:
        await asyncio.to_thread(running.wait_until_ready)
        async with connect(running.url) as peer:
            for number in range(total):
                await peer.send(message(str(number), f"good game {number}", channel=f"room-{number % 3}"))
                if number in {40, 80}:
                    await peer.until(lambda least=number - 20: len(peer.decisions) > least)  # type: ignore[misc]
                    running.kill()
                    running = Running(tmp_path, running.port, "--config", str(config))
            await asyncio.to_thread(running.wait_until_ready)
            await peer.until(lambda: len(peer.decisions) >= total)
            final = await peer.moderate(message("last", "good game"))
            assert final["action"] == "allow"
            heard = Counter(identifier for identifier, _ in peer.decisions)
    finally:
        running.stop()
    sent = dict.fromkeys([*map(str, range(total)), "last"], 1)
    assert heard == sent
    database = Database(tmp_path)
    kept = database.ask_now(RecordsAfter(seq=0, limit=1000))
    database.close()
    assert Counter(record.message.id for record in kept) == sent


def test_the_minified_client_is_made_of_the_source_and_no_larger_than_promised() -> None:
    script = CONSOLE.parents[2] / "scripts/minify"
    made = subprocess.run([script, "--check"], capture_output=True, check=True).stdout
    assert made == (CONSOLE / "client.min.js").read_bytes()
    assert len(made) <= LARGEST_SCRIPT


def test_the_python_client_imports_nothing_of_the_server() -> None:
    code = (
        "import sys, chat_moderator.client; "
        "print([name for name in sys.modules if name.split('.')[0] in "
        "{'litestar', 'uvicorn', 'apsw', 'numpy', 'httpx', 'typer'} or name.startswith('chat_moderator.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {"chat_moderator.client", "chat_moderator.errors", "chat_moderator.types"}
    assert set(eval(done.stdout)) == ours  # noqa: S307 -- a list that was just printed
