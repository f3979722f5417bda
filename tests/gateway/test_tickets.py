"""Tickets: what a page may hold, and what it cannot do with one."""

from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chat_moderator.gateway import auth
from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.tickets import SignTicket, Ticket
from chat_moderator.types import Author, Role
from tests.gateway.serving import Gateway, message, receive, send

ROBIN = {"id": "u-17", "name": "Robin", "roles": ["player"]}


async def made(gateway: Gateway, **body: Any) -> str:
    answer = await gateway.post("/v1/tickets", {"author": ROBIN} | body, **gateway.bearer(Role.CLIENT))
    assert answer.status_code == 201
    ticket: str = answer.json()["ticket"]
    return ticket


def bearing(ticket: str) -> dict[str, str]:
    return {"authorization": f"Bearer {ticket}"}


async def test_what_comes_with_a_ticket_is_its_authors_whoever_is_named(keyed: Gateway) -> None:
    ticket = await made(keyed)
    body = {"messages": [message("1", "you are bad", author={"id": "somebody else"})]}
    judged = (await keyed.post("/v1/moderate", body, **bearing(ticket))).json()["results"]
    assert (judged[0]["action"], judged[0]["client"]) == ("block", f"{keyed.ids[Role.CLIENT]}/u-17")
    (record,) = await keyed.app.store.ask(RecordsAfter(seq=0, limit=9))
    assert record.message.author == Author("u-17", "Robin", ("player",))


async def test_a_ticket_sees_its_authors_decisions_only_and_its_key_may_look(keyed: Gateway) -> None:
    ticket, other = await made(keyed), await made(keyed, author={"id": "u-18"})
    await keyed.post("/v1/moderate", {"messages": [message("mine")]}, **bearing(ticket))
    await keyed.post("/v1/moderate", {"messages": [message("theirs")]}, **bearing(other))
    await keyed.post("/v1/moderate", {"messages": [message("the key's")]}, **keyed.bearer(Role.CLIENT))
    key = keyed.ids[Role.CLIENT]

    async def seen(headers: dict[str, str], client: str = "") -> list[str] | int:
        answer = await keyed.http.get("/v1/decisions", params={"client": client}, headers=headers)
        return [each["id"] for each in answer.json()["decisions"]] if answer.is_success else answer.status_code

    assert await seen(bearing(ticket)) == ["mine"]
    for foreign in ("*", key, f"{key}/u-18", f"{key}/u-17/x"):
        assert await seen(bearing(ticket), foreign) == 404
    assert await seen(keyed.bearer(Role.CLIENT)) == ["the key's"]
    assert await seen(keyed.bearer(Role.CLIENT), f"{key}/u-18") == ["theirs"]
    assert await seen(keyed.bearer(Role.MODERATOR), f"{key}/u-18") == 404


async def test_a_ticket_for_a_channel_is_for_no_other(keyed: Gateway) -> None:
    ticket = await made(keyed, channel="lobby")
    for channel, status in (("lobby", 202), ("other", 403), ("", 403)):
        body = {"messages": [message("1", channel="lobby"), message("2", channel=channel)]}
        answer = await keyed.post("/v1/messages", body, **bearing(ticket))
        assert answer.status_code == status, channel
        assert status == 202 or answer.json()["field"] == "messages[1].channel"
    offered = ["chat-moderator", f"bearer.{ticket}"]
    async with keyed.connect("/v1/chat/lobby", subprotocols=offered) as window:
        await receive(window, "history")
        await send(window, {"type": "post", "id": "1", "name": "Mallory", "text": "hello"})
        assert (await receive(window, "message"))["author"] == "Robin"
    with pytest.raises(InvalidStatus) as refused:
        await keyed.connect("/v1/chat/other", subprotocols=offered).__aenter__()
    assert refused.value.response.status_code == 403


async def test_a_ticket_opens_nothing_else(keyed: Gateway) -> None:
    ticket = await made(keyed)
    for path in ("/v1/tickets", "/run", "/v1/moderations", "/v1/keys", "/v1/erase"):
        assert (await keyed.post(path, {}, **bearing(ticket))).status_code == 403, path
    for path in ("/v1/reviews", "/v1/keys", "/metrics"):
        assert (await keyed.http.get(path, headers=bearing(ticket))).status_code == 403, path


async def test_a_ticket_that_was_altered_is_none(keyed: Gateway) -> None:
    ticket, other = await made(keyed), await made(keyed, author={"id": "u-18"})
    start, payload, signature = ticket.split(".")
    for forged in (
        f"{start}.{other.split('.')[1]}.{signature}",
        f"cmt_{keyed.ids[Role.ADMIN]}.{payload}.{signature}",
        f"{start}.{payload}.",
        f"{start}.{payload}",
        f"{start}.{payload}.{signature}x",
        f"{start}.{payload}.\u00ff",
        start,
        "cmt_",
        "cmt_..",
    ):
        answer = await keyed.http.get(
            "/v1/decisions", headers=[(b"authorization", f"Bearer {forged}".encode("latin-1"))]
        )
        assert answer.status_code == 401, forged


async def test_a_ticket_ends_with_its_time_and_with_its_key(keyed: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "REMEMBERED", 0.0)
    over = Ticket(Author("u-17"), until=1.0)
    late = await keyed.app.store.ask(SignTicket(key=keyed.ids[Role.CLIENT], ticket=over))
    answer = await keyed.http.get("/v1/decisions", headers=bearing(late))
    assert (answer.status_code, "ticket" in answer.json()["detail"]) == (401, True)
    ticket = await made(keyed)
    async with (
        keyed.connect("/v1/stream") as stream,
        keyed.connect("/v1/chat/lobby", subprotocols=["chat-moderator", f"bearer.{ticket}"]) as window,
    ):
        await send(stream, {"type": "auth", "token": ticket})
        await receive(stream, "ready")
        await receive(window, "history")
        await keyed.http.delete(f"/v1/keys/{keyed.ids[Role.CLIENT]}", headers=keyed.bearer(Role.ADMIN))
        await send(stream, {"type": "messages", "messages": [message("1")]})
        for connection in (stream, window):
            with pytest.raises(ConnectionClosed):
                await receive(connection, "never")
            assert connection.close_code == 1008
    assert (await keyed.http.get("/v1/decisions", headers=bearing(ticket))).status_code == 401


async def test_what_a_ticket_cannot_be_is_refused(keyed: Gateway) -> None:
    for body, field in (
        ({}, "author"),
        ({"author": {}}, "author.id"),
        ({"author": {"id": ""}}, "author.id"),
        ({"author": {"id": "x", "name": "x" * 41}}, "author.name"),
        ({"author": ROBIN, "seconds": 9}, "seconds"),
        ({"author": ROBIN, "seconds": 86_401}, "seconds"),
    ):
        answer = await keyed.post("/v1/tickets", body, **keyed.bearer(Role.CLIENT))
        assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_without_any_key_there_is_no_ticket(gateway: Gateway) -> None:
    assert (await gateway.post("/v1/tickets", {"author": ROBIN})).status_code == 409
