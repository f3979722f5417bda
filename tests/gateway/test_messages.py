from pathlib import Path

import msgspec

from chat_moderator.config import Settings
from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.database import Command, Context
from chat_moderator.types import Role
from tests.gateway.serving import Gateway, gateway_on, message


async def decided(gateway: Gateway, count: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    after = 0
    while len(found) < count:
        answer = await gateway.http.get("/v1/decisions", params={"after": after, "wait": 10, "client": "*"})
        page = answer.json()
        assert page["decisions"]
        found += page["decisions"]
        after = page["next"]
    return found


async def test_messages_are_accepted_once_and_decided(gateway: Gateway) -> None:
    batch = {"messages": [message(str(number), f"text {number}") for number in range(50)]}
    first = await gateway.post("/v1/messages", batch)
    again = await gateway.post("/v1/messages", batch)
    assert (first.status_code, first.json()) == (202, {"accepted": 50, "duplicates": 0})
    assert (again.status_code, again.json()) == (202, {"accepted": 0, "duplicates": 50})
    assert [each["id"] for each in await decided(gateway, 50)] == [str(number) for number in range(50)]


async def test_another_text_under_the_same_key_refuses_the_whole_batch(gateway: Gateway) -> None:
    await gateway.post("/v1/messages", {"messages": [message("1", "one")]})
    answer = await gateway.post("/v1/messages", {"messages": [message("2", "new"), message("1", "other")]})
    assert answer.status_code == 409
    assert answer.json()["field"] == "messages[1]"
    after = await gateway.post("/v1/messages", {"messages": [message("2", "still new")]})
    assert after.json() == {"accepted": 1, "duplicates": 0}


async def test_a_key_is_client_platform_channel_id_and_revision(keyed: Gateway) -> None:
    batch = {
        "messages": [
            message("1"),
            message("1", "edited", revision=1),
            message("1", "elsewhere", channel="other"),
            message("1", "further", platform="game"),
            message("1"),
        ]
    }
    mine = await keyed.post("/v1/messages", batch, **keyed.bearer(Role.CLIENT))
    theirs = await keyed.post("/v1/messages", {"messages": [message("1", "x")]}, **keyed.bearer(Role.MODERATOR))
    assert mine.json() == {"accepted": 4, "duplicates": 1}
    assert theirs.json() == {"accepted": 1, "duplicates": 0}


async def test_nobody_can_speak_for_another_client(gateway: Gateway) -> None:
    answer = await gateway.post("/v1/messages", {"messages": [message("1", client="somebody")]})
    assert answer.status_code == 400
    assert answer.json()["field"] == "messages[0].client"
    assert await gateway.app.store.ask(RecordsAfter(seq=0, limit=10)) == []


async def test_a_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    settings = msgspec.convert({"queue": {"type": "embedded", "capacity": 5}}, Settings)
    async with gateway_on(tmp_path, settings) as gateway:
        answer = await gateway.post("/v1/messages", {"messages": [message(str(number)) for number in range(6)]})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert await gateway.waiting() == 0


class FillDisk(Command[None], frozen=True):
    """Lets the file grow no further, as a full disk does, until the connection is opened anew."""

    def apply(self, context: Context) -> None:
        context.run("PRAGMA max_page_count = 1")


async def test_a_full_disk_is_503_keeps_nothing_and_heals(gateway: Gateway) -> None:
    await gateway.app.store.execute(FillDisk())
    batch = {"messages": [message(str(number), "x" * 5000) for number in range(100)]}
    answer = await gateway.post("/v1/messages", batch)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    again = await gateway.post("/v1/messages", batch)
    assert again.json() == {"accepted": 100, "duplicates": 0}
