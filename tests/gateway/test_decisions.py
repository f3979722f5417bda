import asyncio
import time

from chat_moderator.types import Role
from tests.gateway.serving import Gateway, message


async def test_a_client_reads_its_own_decisions_and_no_others(keyed: Gateway) -> None:
    for role in (Role.CLIENT, Role.ADMIN):
        await keyed.post("/run", {"messages": [message(role.value)]}, **keyed.bearer(role))
    own = await keyed.http.get("/v1/decisions", headers=keyed.bearer(Role.CLIENT))
    assert [each["id"] for each in own.json()["decisions"]] == ["client"]
    for asked in ("*", keyed.ids[Role.ADMIN], "webhook"):
        for role in (Role.CLIENT, Role.MODERATOR):
            foreign = await keyed.http.get("/v1/decisions", params={"client": asked}, headers=keyed.bearer(role))
            assert foreign.status_code == 404
    everyone = await keyed.http.get("/v1/decisions", params={"client": "*"}, headers=keyed.bearer(Role.ADMIN))
    assert [each["id"] for each in everyone.json()["decisions"]] == ["client", "admin"]


async def test_pages_follow_each_other_without_gap_or_overlap(gateway: Gateway) -> None:
    await gateway.post("/run", {"messages": [message(str(number)) for number in range(25)]})
    seen, after = [], 0
    while page := (await gateway.http.get("/v1/decisions", params={"after": after, "limit": 10})).json():
        if not page["decisions"]:
            break
        seen += [each["id"] for each in page["decisions"]]
        after = page["next"]
    assert seen == [str(number) for number in range(25)]


async def test_the_place_moves_past_what_others_have(keyed: Gateway) -> None:
    await keyed.post("/run", {"messages": [message("1")] * 20}, **keyed.bearer(Role.ADMIN))
    page = await keyed.http.get("/v1/decisions", headers=keyed.bearer(Role.CLIENT))
    assert page.json() == {"decisions": [], "next": 20}


async def test_a_long_poll_answers_as_soon_as_there_is_a_decision(gateway: Gateway) -> None:
    waiting = asyncio.create_task(gateway.http.get("/v1/decisions", params={"wait": 8}))
    await gateway.http.get("/readyz")
    assert not waiting.done()
    await gateway.post("/v1/messages", {"messages": [message("1", "bad")]})
    page = (await waiting).json()
    assert [each["action"] for each in page["decisions"]] == ["block"]


async def test_a_long_poll_without_decisions_ends_in_time(gateway: Gateway) -> None:
    began = time.monotonic()
    page = await gateway.http.get("/v1/decisions", params={"wait": 0.2})
    assert page.json() == {"decisions": [], "next": 0}
    assert 0.2 <= time.monotonic() - began < 3


async def test_a_long_poll_ends_when_the_server_stops(gateway: Gateway) -> None:
    waiting = asyncio.create_task(gateway.http.get("/v1/decisions", params={"wait": 30}))
    await gateway.http.get("/readyz")
    gateway.server.should_exit = True
    assert (await waiting).json()["decisions"] == []
