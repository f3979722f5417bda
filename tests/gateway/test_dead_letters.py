from pathlib import Path

import msgspec

from chat_moderator.config import Settings
from tests.gateway.serving import Gateway, gateway_on, message


async def buried(gateway: Gateway, count: int) -> list[dict[str, object]]:
    batch = [message(str(number), "poison", channel=str(number)) for number in range(count)]
    await gateway.post("/v1/messages", {"messages": batch})
    while True:
        page = (await gateway.http.get("/v1/dead-letters")).json()
        if len(page["dead_letters"]) == count:
            return list(page["dead_letters"])
        await gateway.http.get("/v1/decisions", params={"wait": 0.05})


async def test_what_was_given_up_is_listed_retried_and_dropped(tmp_path: Path) -> None:
    settings = msgspec.convert({"worker": {"attempts": 1, "back_off": 0.01}}, Settings)
    async with gateway_on(tmp_path, settings) as gateway:
        first, _, _ = await buried(gateway, 3)
        assert first["reason"]
        assert first["message"]["text"] == "poison"  # type: ignore[index]
        page = (await gateway.http.get("/v1/dead-letters", params={"limit": 1})).json()
        assert page == {"dead_letters": [first], "next": first["id"]}

        dropped = await gateway.post("/v1/dead-letters/drop", {"ids": [first["id"]]})
        assert dropped.json() == {"count": 1}
        retried = await gateway.post("/v1/dead-letters/retry", {"ids": "all"})
        assert retried.json() == {"count": 2}
        unknown = await gateway.post("/v1/dead-letters/retry", {"ids": [first["id"]]})
        assert unknown.status_code == 404
        for ids in ([], "some", [0.5], [-1], None, ["1"], [2**63]):
            assert (await gateway.post("/v1/dead-letters/drop", {"ids": ids})).status_code == 400
