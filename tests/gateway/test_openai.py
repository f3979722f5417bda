"""OpenAI's moderation endpoint, as its official clients see it."""

import asyncio
from typing import Any

import httpx
import openai
import pytest
from openai.types import Moderation, ModerationCreateResponse, ModerationTextInputParam

from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.keys import KeyLimits, LimitKey
from chat_moderator.types import Role
from tests.gateway.clients import node
from tests.gateway.serving import Gateway

CATEGORIES = {
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
}


def client_of(gateway: Gateway, *, max_retries: int = 0) -> openai.AsyncOpenAI:
    key = gateway.tokens[Role.CLIENT]
    return openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=max_retries)


async def ask(gateway: Gateway, body: Any, **headers: str) -> httpx.Response:
    return await gateway.post("/v1/moderations", body, **(gateway.bearer(Role.CLIENT) | headers))


async def test_the_official_python_client_gets_what_openai_would_answer(keyed: Gateway) -> None:
    async with client_of(keyed) as client:
        one = await client.moderations.create(input="you are bad", model="omni-moderation-latest")
        many = await client.moderations.create(input=["hello", "you are bad"])
        content: list[ModerationTextInputParam] = [{"type": "text", "text": "so"}, {"type": "text", "text": "bad"}]
        parts = await client.moderations.create(input=content)
    assert one.id.startswith("modr-")
    assert [result.flagged for result in one.results] == [True]
    assert one.results[0].categories.harassment
    assert one.results[0].category_scores.harassment == 0.95
    assert not one.results[0].categories.hate
    assert [result.flagged for result in many.results] == [False, True]
    assert [result.flagged for result in parts.results] == [True]
    assert one._request_id
    assert one._request_id.startswith("req_")


async def test_the_official_synchronous_client_works_too(keyed: Gateway) -> None:
    def call() -> ModerationCreateResponse:
        with openai.OpenAI(api_key=keyed.tokens[Role.CLIENT], base_url=f"{keyed.url}/v1") as client:
            return client.moderations.create(input="you are bad")

    assert (await asyncio.to_thread(call)).results[0].flagged


async def test_an_answer_fits_openais_own_types_with_nothing_left_over(keyed: Gateway) -> None:
    answer = (await ask(keyed, {"input": ["hello", "you are bad"]})).json()
    assert set(answer) == {"id", "model", "results"}
    assert answer["model"] == "words-1"
    for result in answer["results"]:
        assert set(result) == {"flagged", "categories", "category_scores", "category_applied_input_types"}
        for name in ("categories", "category_scores", "category_applied_input_types"):
            assert set(result[name]) == CATEGORIES
        for name in ("illicit", "illicit/violent"):
            assert result["categories"][name] is None
            assert result["category_applied_input_types"][name] == []
    parsed = ModerationCreateResponse.model_validate_json((await ask(keyed, {"input": "bad"})).content, strict=True)
    for result in parsed.results:
        assert isinstance(result, Moderation)
        assert not result.model_extra
        for part in (result.categories, result.category_scores, result.category_applied_input_types):
            assert not part.model_extra


async def test_the_official_node_client_gets_the_same(keyed: Gateway) -> None:
    one, many, parts, image, model, empty = await node(
        "moderations.cjs", {"KEY": keyed.tokens[Role.CLIENT], "URL": f"{keyed.url}/v1"}
    )
    assert one["results"][0]["flagged"]
    assert [result["flagged"] for result in many["results"]] == [False, True]
    assert parts["results"][0]["category_scores"]["harassment"] == 0.95
    assert image == {
        "name": "BadRequestError",
        "status": 400,
        "code": "image_not_supported",
        "param": "input[0]",
        "type": "invalid_request_error",
    }
    assert (model["name"], model["code"], model["param"]) == ("NotFoundError", "model_not_found", "model")
    assert (empty["status"], empty["code"], empty["param"]) == (400, "empty_array", "input")


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        ({}, 400, "input", "missing_required_parameter"),
        ({"input": None}, 400, "input", "invalid_type"),
        ({"input": 5}, 400, "input", "invalid_type"),
        ({"input": []}, 400, "input", "empty_array"),
        ({"input": [1, 2]}, 400, "input[0]", "invalid_type"),
        ({"input": ["a", {"type": "text", "text": "b"}]}, 400, "input[0]", "invalid_type"),
        ({"input": [{"type": "audio"}]}, 400, "input[0].type", "invalid_value"),
        ({"input": "x" * 100_001}, 400, "input", "string_above_max_length"),
        ({"input": ["x"] * 10_001}, 400, "input", "array_above_max_length"),
        ({"input": "x", "user": "me"}, 400, "user", "unknown_parameter"),
        ({"input": "x", "model": "gpt-5"}, 404, "model", "model_not_found"),
        ({"input": "a\0b"}, 400, "input", "invalid_value"),
    ],
)
async def test_what_is_wrong_with_a_request_is_said_as_openai_says_it(
    keyed: Gateway, body: Any, status: int, param: str, code: str
) -> None:
    answer = await ask(keyed, body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)


async def test_refusals_before_the_body_have_openais_shape_too(keyed: Gateway) -> None:
    wrong = await ask(keyed, {"input": "x"}, authorization="Bearer cm_wrong")
    missing = await keyed.post("/v1/moderations", {"input": "x"})
    get = await keyed.http.get("/v1/moderations", headers=keyed.bearer(Role.CLIENT))
    large = await ask(keyed, {"input": ["x" * 90_000] * 12})
    broken = await keyed.http.post(
        "/v1/moderations",
        content=b"{",
        headers=keyed.bearer(Role.CLIENT) | {"content-type": "application/json"},
    )
    found = [(each.status_code, each.json()["error"]["code"]) for each in (wrong, missing, get, large, broken)]
    assert found == [
        (401, "invalid_api_key"),
        (401, None),
        (405, "method_not_supported"),
        (413, "request_too_large"),
        (400, None),
    ]


async def test_a_failing_classifier_is_a_server_error_that_clients_retry(keyed: Gateway) -> None:
    answer = await ask(keyed, {"input": "poison"})
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "server_error"
    assert answer.headers["retry-after"]
    async with client_of(keyed) as client:
        with pytest.raises(openai.InternalServerError):
            await client.moderations.create(input="poison")


async def test_a_client_that_waits_as_it_is_told_gets_through_its_rate(keyed: Gateway) -> None:
    await keyed.app.store.execute(LimitKey(id=keyed.ids[Role.CLIENT], limits=KeyLimits(rate=20, burst=1)))
    keyed.server.services.keys.forget()
    async with client_of(keyed) as impatient:
        await impatient.moderations.create(input="hello")
        with pytest.raises(openai.RateLimitError) as refused:
            await impatient.moderations.create(input="hello")
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.type == "requests"
    assert int(refused.value.response.headers["retry-after"]) == 1
    assert 0 < int(refused.value.response.headers["retry-after-ms"]) <= 50
    async with client_of(keyed, max_retries=20) as patient:
        for _ in range(3):
            assert (await patient.moderations.create(input="bad")).results[0].flagged


async def test_texts_are_audited_under_the_key(keyed: Gateway) -> None:
    answer = await ask(keyed, {"input": ["first", "bad second"]})
    records = await keyed.app.store.ask(RecordsAfter(seq=0, limit=10))
    assert [record.message.text for record in records] == ["first", "bad second"]
    assert [record.message.id for record in records] == [f"{answer.json()['id']}-{index}" for index in (0, 1)]
    assert {record.message.client for record in records} == {keyed.ids[Role.CLIENT]}
