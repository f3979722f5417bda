"""Rates, quotas and usage by key, over every door."""

from datetime import UTC, datetime

import pytest

from chat_moderator.gateway.auth import LOCAL, VISITOR, Caller
from chat_moderator.gateway.problems import ProblemError
from chat_moderator.gateway.usage import UsageMeter
from chat_moderator.sinks.metrics import Metrics
from chat_moderator.store.keys import KeyLimits, LimitKey
from chat_moderator.store.usage import ListUsage, Usage
from chat_moderator.types import Role
from tests.gateway.serving import Gateway, message

DOORS = (
    ("/run", {"messages": [message("1"), message("2")]}),
    ("/v1/moderate", {"messages": [message("1"), message("2")]}),
    ("/v1/messages", {"messages": [message("1"), message("2")]}),
    ("/v1/moderations", {"input": ["one", "two"]}),
)


async def limited(gateway: Gateway, **limits: float) -> dict[str, str]:
    given = KeyLimits(limits.get("rate", 0.0), int(limits.get("burst", 0)), int(limits.get("quota", 0)))
    await gateway.app.store.execute(LimitKey(id=gateway.ids[Role.CLIENT], limits=given))
    gateway.server.services.keys.forget()
    return gateway.bearer(Role.CLIENT)


async def used(gateway: Gateway) -> dict[str, Usage]:
    await gateway.server.services.usage.flush()
    return {each.key: each for each in await gateway.app.store.ask(ListUsage(since=""))}


async def test_every_answer_to_a_key_with_a_rate_says_what_is_left(keyed: Gateway) -> None:
    bearer = await limited(keyed, rate=0.001, burst=3)
    left = []
    for path, body in DOORS[:3]:
        answer = await keyed.post(path, body, **bearer)
        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        left.append(answer.headers["x-ratelimit-remaining-requests"])
        assert float(answer.headers["x-ratelimit-reset-requests"].removesuffix("s")) > 0
    assert left == ["2", "1", "0"]
    refused = await keyed.post("/run", DOORS[0][1], **bearer)
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert int(refused.headers["retry-after"]) > 900
    assert "0.001 requests a second, 3 of them at once" in refused.json()["detail"]
    assert (await keyed.post("/run", DOORS[0][1], **keyed.bearer(Role.ADMIN))).status_code == 200
    unlimited = await keyed.post("/run", DOORS[0][1], **await limited(keyed))
    assert "x-ratelimit-limit-requests" not in unlimited.headers


async def test_a_quota_counts_texts_over_every_door_and_refuses_the_batch_that_goes_beyond(keyed: Gateway) -> None:
    bearer = await limited(keyed, quota=9)
    for path, body in DOORS:
        assert (await keyed.post(path, body, **bearer)).status_code in {200, 202}, path
    for path, body in DOORS:
        refused = await keyed.post(path, body, **bearer)
        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
    assert refused.json()["error"]["code"] == "insufficient_quota"
    last = {"comment": {"text": "hi"}, "requestedAttributes": {"TOXICITY": {}}, "languages": ["en"]}
    assert (await keyed.post("/v1alpha1/comments:analyze", last, **bearer)).status_code == 200
    spent = await keyed.post("/v1alpha1/comments:analyze", last, **bearer)
    assert (spent.status_code, spent.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")


async def test_usage_is_in_the_store_and_in_the_metrics(keyed: Gateway) -> None:
    bearer = await limited(keyed, quota=3)
    for _ in range(3):
        await keyed.post("/run", DOORS[0][1], **bearer)
    mine = (await used(keyed))[keyed.ids[Role.CLIENT]]
    assert (mine.requests, mine.texts, mine.refused) == (3, 2, 2)
    metrics = (await keyed.http.get("/metrics", headers=keyed.bearer(Role.ADMIN))).text
    key = keyed.ids[Role.CLIENT]
    assert f'chat_moderator_key_texts_total{{key="{key}"}} 2.0' in metrics
    assert f'chat_moderator_key_refusals_total{{key="{key}",limit="quota"}} 2.0' in metrics
    await keyed.post("/run", {"messages": [message("3")]}, **bearer)
    assert (await used(keyed))[key].texts == 3


async def test_what_was_used_counts_after_a_restart_and_not_on_the_next_day(keyed: Gateway) -> None:
    day = datetime(2026, 1, 31, 23, 59, 30, tzinfo=UTC)
    caller = Caller("k", Role.CLIENT, "t", KeyLimits(quota=5))

    def meter() -> UsageMeter:
        return UsageMeter(keyed.app.store, Metrics(), day_clock=lambda: day)

    first = meter()
    await first.take(caller, 4)
    await first.aclose()
    second = meter()
    with pytest.raises(ProblemError, match="has used 4") as refused:
        await second.take(caller, 2)
    assert refused.value.headers["retry-after"] == "30"
    await second.take(caller, 1)
    day = datetime(2026, 2, 1, tzinfo=UTC)
    await second.take(caller, 5)
    await second.aclose()


async def test_who_needs_no_key_is_not_counted(keyed: Gateway) -> None:
    meter = UsageMeter(keyed.app.store, Metrics())
    assert meter.admit(VISITOR) == ()
    await meter.flush()
    assert VISITOR.id not in await used(keyed)
    assert meter.admit(LOCAL) == ()
    await meter.aclose()
    assert (await used(keyed))["local"].requests == 1
