import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chat_moderator.config import Settings
from chat_moderator.gateway import stream
from chat_moderator.types import Role
from tests.gateway.serving import Gateway, gateway_on, message, receive, send
from tests.servers.postgres import PostgresServer


async def decisions(connection: ClientConnection, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        frame = await receive(connection, "decisions")
        found += [each["id"] for each in frame["decisions"]]
    return found


async def closed_with(connection: ClientConnection) -> int:
    async with asyncio.timeout(25):
        with contextlib.suppress(ConnectionClosed):
            async for _ in connection:
                pass  # what was on its way
        await connection.wait_closed()
    return connection.close_code or 0


async def test_one_connection_takes_messages_and_gives_decisions(keyed: Gateway) -> None:
    async with keyed.connect("/v1/stream", additional_headers=keyed.bearer(Role.CLIENT)) as client:
        for number in range(3):
            batch = [message(f"{number}-{each}", "bad") for each in range(5)]
            await send(client, {"type": "messages", "messages": batch, "ref": f"r{number}"})
        accepted = [await receive(client, "accepted") for _ in range(3)]
        assert [frame["ref"] for frame in accepted] == ["r0", "r1", "r2"]
        assert all((frame["accepted"], frame["duplicates"]) == (5, 0) for frame in accepted)
    async with keyed.connect("/v1/stream?after=0", additional_headers=keyed.bearer(Role.CLIENT)) as client:
        assert len(await decisions(client, 15)) == 15


async def test_a_connection_goes_on_where_the_last_one_ended(gateway: Gateway) -> None:
    async with gateway.connect("/v1/stream") as client:
        await send(client, {"type": "messages", "messages": [message("1")]})
        frame = await receive(client, "decisions")
    await gateway.post("/run", {"messages": [message("2")]})
    async with gateway.connect(f"/v1/stream?after={frame['next']}") as client:
        assert await decisions(client, 1) == ["2"]


async def test_without_a_place_only_new_decisions_come(gateway: Gateway) -> None:
    await gateway.post("/run", {"messages": [message("old")]})
    async with gateway.connect("/v1/stream") as client:
        await send(client, {"type": "messages", "messages": [message("new")]})
        assert await decisions(client, 1) == ["new"]


async def test_a_decision_whose_connection_broke_before_it_came_is_not_lost(gateway: Gateway) -> None:
    async with gateway.connect("/v1/stream") as client:
        place = await receive(client, "ready")
        await send(client, {"type": "messages", "messages": [message("1")]})
    async with gateway.connect(f"/v1/stream?after={place['next']}&changed={place['changed']}") as client:
        await send(client, {"type": "messages", "messages": [message("1")], "ref": "again"})
        assert await decisions(client, 1) == ["1"]


async def test_what_a_moderator_says_later_comes_once_after_its_decision_also_to_who_was_away(keyed: Gateway) -> None:
    headers = keyed.bearer(Role.CLIENT)
    async with keyed.connect("/v1/stream", additional_headers=headers) as client:
        start = await receive(client, "ready")
        await send(client, {"type": "messages", "messages": [message("1", "odd", channel="lobby")]})
        frame = await receive(client, "decisions")
    seq = frame["decisions"][0]["seq"]
    for _ in range(2):  # saying the same again changes nothing
        await keyed.post(f"/v1/reviews/{seq}", {"verdict": "approve"}, **keyed.bearer(Role.MODERATOR))
    for after in (start["next"], frame["next"]):
        path = f"/v1/stream?after={after}&changed={start['changed']}"
        async with keyed.connect(path, additional_headers=headers) as client:
            again = await receive(client, "decisions")
            assert [each["id"] for each in again["decisions"]] == ["1"] * (after == start["next"])
            (change,) = again["changes"]
            found = (change["id"], change["action"], change["rule"], change["seq"], change["channel"])
            assert found == ("1", "allow", "review: approved", seq, "lobby")
    async with keyed.connect(f"/v1/stream?after=0&changed={again['changed']}", additional_headers=headers) as client:
        assert (await receive(client, "decisions"))["changes"] == []
    page = await keyed.http.get("/v1/decisions", params={"after": seq, "changed": 0}, headers=headers)
    assert [each["action"] for each in page.json()["changes"]] == ["allow"]
    assert page.json()["changed"] == again["changed"]
    others = await keyed.http.get("/v1/decisions", params={"changed": 0}, headers=keyed.bearer(Role.ADMIN))
    assert others.json()["changes"] == []
    everyone = await keyed.http.get("/v1/decisions?changed=0&client=*", headers=keyed.bearer(Role.ADMIN))
    assert len(everyone.json()["changes"]) == 1


async def test_with_postgres_a_moderators_word_at_one_server_comes_to_a_client_at_another(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    shared = {"type": "postgres"} | msgspec.structs.asdict(postgres.settings())
    settings = Settings(store=shared)
    async with gateway_on(tmp_path / "one", settings) as one, gateway_on(tmp_path / "two", settings) as two:
        async with one.connect("/v1/stream") as client:
            start = await receive(client, "ready")
            await send(client, {"type": "messages", "messages": [message("1", "odd")]})
            frame = await receive(client, "decisions")
            assert [(each["id"], each["action"]) for each in frame["decisions"]] == [("1", "hold")]
            answer = await two.post(f"/v1/reviews/{frame['decisions'][0]['seq']}", {"verdict": "approve"})
            assert answer.status_code == 200
            told = await receive(client, "decisions")
            assert told["decisions"] == []
            assert [(each["id"], each["action"]) for each in told["changes"]] == [("1", "allow")]
        for gateway in (one, two):
            path = f"/v1/stream?after={start['next']}&changed={start['changed']}"
            async with gateway.connect(path) as client:
                again = await receive(client, "decisions")
                assert [each["action"] for each in again["decisions"]] == ["hold"]
                assert again["changes"] == told["changes"]
            page = (await gateway.http.get("/v1/decisions", params={"after": again["next"], "changed": 0})).json()
            assert (page["decisions"], page["changes"]) == ([], told["changes"])


async def test_a_client_gets_no_other_clients_decisions(keyed: Gateway) -> None:
    async with keyed.connect("/v1/stream", additional_headers=keyed.bearer(Role.CLIENT)) as client:
        await keyed.post("/run", {"messages": [message("theirs")]}, **keyed.bearer(Role.ADMIN))
        await send(client, {"type": "messages", "messages": [message("mine")]})
        assert await decisions(client, 1) == ["mine"]


async def test_a_browser_offers_its_token_as_subprotocol_or_first_frame(keyed: Gateway) -> None:
    token = keyed.tokens[Role.CLIENT]
    async with keyed.connect("/v1/stream", subprotocols=[f"bearer.{token}", "chat-moderator"]) as client:
        assert client.subprotocol == "chat-moderator"
        await send(client, {"type": "messages", "messages": [message("1")]})
        assert (await receive(client, "accepted"))["accepted"] == 1
    async with keyed.connect("/v1/stream") as client:
        await send(client, {"type": "auth", "token": token})
        await send(client, {"type": "messages", "messages": [message("1")]})
        assert (await receive(client, "accepted"))["duplicates"] == 1


async def test_a_first_frame_that_is_no_good_token_ends_the_connection(keyed: Gateway) -> None:
    first_frames = (
        '{"type":"auth","token":"x"}',
        '{"type":"messages","messages":[{"id":"1","text":"x"}]}',
        '{"type":"auth","token":"\\ud800"}',
        '{"type":"auth","token":"x","\u00e9%s":1}' % ("x" * 500),
        "x",
    )
    for first in first_frames:
        async with keyed.connect("/v1/stream") as client:
            await client.send(first)
            assert (await receive(client, "error"))["status"] in {400, 401}
            assert await closed_with(client) == 1008
    assert await keyed.waiting() == 0


async def test_a_revoked_key_ends_an_open_connection(keyed: Gateway) -> None:
    async with keyed.connect("/v1/stream", additional_headers=keyed.bearer(Role.CLIENT)) as client:
        await keyed.http.delete(f"/v1/keys/{keyed.ids[Role.CLIENT]}", headers=keyed.bearer(Role.ADMIN))
        await send(client, {"type": "messages", "messages": [message("1")]})
        assert await closed_with(client) == 1008
    assert await keyed.waiting() == 0


async def test_every_bad_frame_is_answered_with_its_place_and_the_connection_goes_on(gateway: Gateway) -> None:
    async with gateway.connect("/v1/stream") as client:
        for frame, status, field in (
            ("", 400, ""),
            ("x", 400, ""),
            ("[]", 400, ""),
            ("{}", 400, "type"),
            ('{"type":"nonsense"}', 400, "type"),
            ('{"type":1}', 400, "type"),
            ('{"type":"messages"}', 400, "messages"),
            ('{"type":"messages","messages":[]}', 400, "messages"),
            ('{"type":"messages","messages":[{"id":"1"}]}', 400, "messages[0].text"),
            ('{"type":"messages","messages":[{"id":"1","text":"x","client":"y"}]}', 400, "messages[0].client"),
            ('{"type":"messages","messages":[{"id":"1","text":"\\u0000"}]}', 400, "messages[0].text"),
            ('{"\\ud800":"\\ud800"}', 400, "?"),
            ('{"messages":' + "[" * 30_000 + "]" * 30_000 + ',"type":"messages"}', 400, None),
            ('{"z":' * 10_000 + "1" + "}" * 10_000, 400, None),
        ):
            await client.send(frame)
            answer = await receive(client, "error")
            assert answer["status"] == status, frame[:80]
            assert field is None or answer.get("field", "") == field, frame[:80]
        await send(client, {"type": "messages", "messages": [message("1", "one")], "ref": "a"})
        assert (await receive(client, "accepted"))["ref"] == "a"
        await send(client, {"type": "messages", "messages": [message("1", "two")], "ref": "b"})
        conflict = await receive(client, "error")
        assert (conflict["status"], conflict["ref"], conflict["field"]) == (409, "b", "messages[0]")


async def test_frames_beyond_128_kb_end_the_connection(gateway: Gateway) -> None:
    async with gateway.connect("/v1/stream") as client:
        await client.send("x" * (128 * 1024 + 1))
        assert await closed_with(client) == 1009


async def test_a_flood_of_frames_is_refused_and_at_last_ended(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RATE", 0.001)
    monkeypatch.setattr(stream, "BURST", 2.0)
    monkeypatch.setattr(stream, "REFUSALS", 3)
    async with gateway.connect("/v1/stream") as client:
        for number in range(6):
            await send(client, {"type": "messages", "messages": [message(str(number))], "ref": str(number)})
        assert [(await receive(client, "accepted"))["ref"] for _ in range(2)] == ["0", "1"]
        refused = await receive(client, "error")
        assert (refused["status"], refused["ref"]) == (429, "2")
        assert refused["retry_after"] > 0
        assert await closed_with(client) == 1008


async def test_a_client_that_never_reads_stops_no_other(gateway: Gateway) -> None:
    async with (
        gateway.connect("/v1/stream?after=0", max_queue=1, close_timeout=0.5) as deaf,
        gateway.connect("/v1/stream") as other,
    ):
        deaf.transport.pause_reading()
        for number in range(8):
            batch = [message(f"{number}-{each}", "bad " * 20) for each in range(200)]
            await gateway.post("/run", {"messages": batch})
        assert len(await decisions(other, 1600)) == 1600
        deaf.transport.resume_reading()


async def test_a_parameter_that_is_wrong_refuses_the_handshake(gateway: Gateway) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await gateway.connect("/v1/stream?after=x").__aenter__()
    assert refused.value.response.status_code == 400
    assert b'"field":"after"' in (refused.value.response.body or b"")
