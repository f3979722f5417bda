"""Whatever comes, a compatible API answers in its own shape, and never with a fault of the server."""

import asyncio
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok

from chat_moderator.types import Role
from tests.gateway.odd import ANALYZE, GOOD, complaint, requests
from tests.gateway.serving import Gateway


async def test_mutations_of_good_requests_are_answered_in_shape(keyed: Gateway) -> None:
    found = []
    for odd in requests(800):
        headers = odd.headers | keyed.bearer(Role.CLIENT)
        answer = await keyed.http.request(odd.method, odd.path, content=odd.content, headers=headers)
        if wrong := complaint(odd.path, answer.status_code, answer.content, odd.method):
            found.append((wrong, odd))
    assert found == []


async def test_what_the_description_allows_and_what_it_does_not_is_answered_in_shape(keyed: Gateway) -> None:
    document = (await keyed.http.get("/schema/openapi.json")).json()
    document["paths"] = {path: each for path, each in document["paths"].items() if path in GOOD}
    assert len(document["paths"]) == 3
    schema = schemathesis.openapi.from_dict(document)
    loop = asyncio.get_running_loop()

    def ask(case: Any) -> None:
        sent = case.as_transport_kwargs(base_url=keyed.url)
        sent = {
            key: value for key, value in sent.items() if key in {"method", "url", "json", "data", "params", "cookies"}
        }
        headers = keyed.bearer(Role.CLIENT)
        content = sent.pop("data", None)
        body = {"content": content} if isinstance(content, bytes) else {"json": sent.pop("json", None)}
        url, method = sent["url"], sent["method"]
        future = asyncio.run_coroutine_threadsafe(
            keyed.http.request(method, url, params=sent.get("params"), headers=headers, **body), loop
        )
        answer = future.result(30)
        path = url.removeprefix(keyed.url).split("?")[0]
        assert not complaint(path, answer.status_code, answer.content, method), (case, answer.text)

    def generate() -> None:
        for result in schema.get_all_operations():
            assert isinstance(result, Ok)
            operation = result.ok()
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

                @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
                @given(case=operation.as_strategy(generation_mode=mode))
                def one(case: Any) -> None:
                    ask(case)

                one()

    await asyncio.to_thread(generate)


async def test_the_longest_comments_are_answered(keyed: Gateway) -> None:
    for text in ("a. " * 6_800, "😀" * 5_000 + " hello", "\n" * 20_000 + "x", "word " * 4_000):
        body = {
            "comment": {"text": text},
            "requestedAttributes": {"TOXICITY": {}},
            "languages": ["en"],
            "spanAnnotations": True,
        }
        answer = await keyed.post(ANALYZE, body, **keyed.bearer(Role.CLIENT))
        assert answer.status_code == 200
        spans = answer.json()["attributeScores"]["TOXICITY"]["spanScores"]
        assert 1 <= len(spans) <= 100
