import asyncio

import msgspec

from chat_moderator.types import Role
from tests.gateway.serving import Gateway, message


async def test_health_says_how_things_stand(keyed: Gateway) -> None:
    answer = await keyed.http.get("/healthz")
    assert answer.status_code == 200
    assert set(answer.json()) == {"status", "problems", "gaps", "model", "policy", "threshold_from_environment"}


async def test_ready_until_the_server_stops(gateway: Gateway) -> None:
    assert (await gateway.http.get("/readyz")).json() == {"status": "ready"}
    gateway.server.services.drain()
    stopping = await gateway.http.get("/readyz")
    assert (stopping.status_code, "retry-after" in stopping.headers) == (503, True)


async def test_metrics_count_what_was_decided(gateway: Gateway) -> None:
    await gateway.post("/run", {"messages": [message("1", "bad"), message("2")]})
    answer = await gateway.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'chat_moderator_messages_total{verdict="block"} 1.0' in answer.text
    assert "chat_moderator_queue_waiting 0.0" in answer.text


async def test_live_numbers_by_request_and_as_events(gateway: Gateway) -> None:
    await gateway.post("/run", {"messages": [message("1", "bad"), message("2")]})
    live = (await gateway.http.get("/v1/live")).json()
    assert set(live) == {"rate", "blocked", "p50", "p99"}
    assert live["blocked"] == 0.5
    seen = []
    async with asyncio.timeout(10), gateway.http.stream("GET", "/v1/live/events") as events:
        assert events.headers["content-type"] == "text/event-stream"
        async for line in events.aiter_lines():
            seen += [msgspec.json.decode(line.removeprefix("data: "))] if line else []
            if len(seen) == 2:
                break
    assert all(set(event) == set(live) for event in seen)


async def test_events_end_when_the_server_stops(gateway: Gateway) -> None:
    async with gateway.http.stream("GET", "/v1/live/events") as events:
        gateway.server.should_exit = True
        async with asyncio.timeout(10):
            assert [line async for line in events.aiter_lines()]


async def test_head_and_options_answer_without_a_body(keyed: Gateway) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/v1/decisions", "/schema", "/docs", "/chat", "/"):
        head = await keyed.http.head(path, headers=keyed.bearer(Role.CLIENT))
        assert head.status_code in {200, 307}, path
        assert head.content == b""
    options = await keyed.http.options("/v1/keys")
    assert options.status_code == 204
    assert set(options.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD", "POST", "OPTIONS"}


async def test_every_answer_forbids_guessing_its_type(gateway: Gateway) -> None:
    for path in ("/healthz", "/metrics", "/v1/decisions", "/nothing", "/docs", "/chat", "/v1/reviews/1"):
        assert (await gateway.http.get(path)).headers["x-content-type-options"] == "nosniff", path
