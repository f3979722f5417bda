"""Bad input: each is a clear refusal that names its place; nothing of it is kept."""

import contextlib
import json
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat_moderator.gateway.bodies import decode
from chat_moderator.gateway.messages import MESSAGES
from chat_moderator.gateway.problems import ProblemError
from chat_moderator.store.audit import RecordsAfter
from tests.gateway.serving import Gateway

GOOD = b'{"id":"0","text":"fine"}'
TAKING = ("/run", "/v1/moderate", "/v1/messages")


def with_message(second: bytes) -> bytes:
    return b'{"messages":[%b,%b]}' % (GOOD, second)


def with_field(name: str, value: Any) -> bytes:
    return with_message(json.dumps({"id": "1", "text": "x", name: value}).encode())


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", ""),
    "no JSON": (b"hello", ""),
    "cut off": (b'{"messages":[{"id":"1","te', ""),
    "trailing": (b'{"messages":[%b]} x' % GOOD, ""),
    "byte order mark": (b'\xef\xbb\xbf{"messages":[%b]}' % GOOD, ""),
    "array": (b"[]", ""),
    "null": (b"null", ""),
    "string": (b'"hello"', ""),
    "number": (b"1e999", ""),
    "NaN": (b'{"messages":NaN}', ""),
    "empty object": (b"{}", "messages"),
    "empty batch": (b'{"messages":[]}', "messages"),
    "messages an object": (b'{"messages":{}}', "messages"),
    "messages null": (b'{"messages":null}', "messages"),
    "unknown field": (b'{"messages":[%b],"more":1}' % GOOD, "more"),
    "message a string": (with_message(b'"x"'), "messages[1]"),
    "message null": (with_message(b"null"), "messages[1]"),
    "no id": (with_message(b'{"text":"x"}'), "messages[1].id"),
    "no text": (with_message(b'{"id":"1"}'), "messages[1].text"),
    "empty id": (with_message(b'{"id":"","text":"x"}'), "messages[1].id"),
    "number id": (with_message(b'{"id":1,"text":"x"}'), "messages[1].id"),
    "null text": (with_message(b'{"id":"1","text":null}'), "messages[1].text"),
    "list text": (with_message(b'{"id":"1","text":["x"]}'), "messages[1].text"),
    "long id": (with_field("id", "x" * 257), "messages[1].id"),
    "long text": (with_field("text", "x" * 20_001), "messages[1].text"),
    "long text of wide characters": (with_field("text", "\U0001f600" * 20_001), "messages[1].text"),
    "unknown message field": (with_field("client", "me"), "messages[1].client"),
    "high surrogate": (with_message(b'{"id":"1","text":"\\ud800"}'), "messages[1].text"),
    "high surrogate within": (with_message(b'{"id":"1","text":"a\\ud800b\\u0041"}'), "messages[1].text"),
    "low surrogate": (with_message(b'{"id":"1","text":"\\udc00"}'), "messages[1].text"),
    "swapped surrogates": (with_message(b'{"id":"1","text":"\\ude00\\ud83d"}'), "messages[1].text"),
    "surrogate id": (with_message(b'{"id":"\\udfff","text":"x"}'), "messages[1].id"),
    "NUL text": (with_message(b'{"id":"1","text":"a\\u0000b"}'), "messages[1].text"),
    "NUL id": (with_message(b'{"id":"\\u0000","text":"x"}'), "messages[1].id"),
    "surrogate field": (with_message(b'{"id":"1","text":"x","\\ud800":1}'), ""),
    "surrogate within a surrogate field": (with_message(b'{"id":"1","text":"x","\\ud800":"\\ud800"}'), "messages[1].?"),
    "raw NUL": (with_message(b'{"id":"1","text":"a\x00b"}'), ""),
    "raw line feed": (with_message(b'{"id":"1","text":"a\nb"}'), ""),
    "not UTF-8": (with_message(b'{"id":"1","text":"\xff"}'), ""),
    "encoded surrogate": (with_message(b'{"id":"1","text":"\xed\xa0\x80"}'), ""),
    "UTF-16": (with_message(b'{"id":"1","text":"x"}').decode().encode("utf-16"), ""),
    "nested arrays": (b"[" * 2000 + b"]" * 2000, ""),
    "nested objects": (b'{"messages":' * 2000 + b"1" + b"}" * 2000, "messages"),
    "nested text": (with_message(b'{"id":"1","text":' + b"[" * 2000 + b"]" * 2000 + b"}"), "messages[1].text"),
    "nested and never closed": (b'{"messages":' + b"[" * 200_000, "messages[0]"),
    "nested unknown field": (with_message(b'{"id":"1","text":"x","z":' + b'{"z":' * 2000), "messages[1].z"),
    "33 levels": (b'{"messages":[' + b"[" * 31 + b"]" * 31 + b"]}", "messages[0]"),
    "too many": (b'{"messages":[' + b",".join([GOOD] * 10_001) + b"]}", "messages"),
}
BAD_IN_DETAIL: dict[str, tuple[bytes, str]] = {
    "long channel": (with_field("channel", "x" * 257), "messages[1].channel"),
    "long platform": (with_field("platform", "x" * 257), "messages[1].platform"),
    "number channel": (with_field("channel", 5), "messages[1].channel"),
    "author a string": (with_field("author", "Robin"), "messages[1].author"),
    "unknown author field": (with_field("author", {"id": "1", "email": "x"}), "messages[1].author.email"),
    "roles a string": (with_field("author", {"roles": "admin"}), "messages[1].author.roles"),
    "too many roles": (with_field("author", {"roles": ["x"] * 65}), "messages[1].author.roles"),
    "NUL role": (with_field("author", {"roles": ["ok", "\0"]}), "messages[1].author.roles[1]"),
    "date without zone": (with_field("sent_at", "2026-01-01T00:00:00"), "messages[1].sent_at"),
    "no date": (with_field("sent_at", "yesterday"), "messages[1].sent_at"),
    "month 13": (with_field("sent_at", "2026-13-01T00:00:00Z"), "messages[1].sent_at"),
    "negative revision": (with_field("revision", -1), "messages[1].revision"),
    "huge revision": (with_field("revision", 2**70), "messages[1].revision"),
    "fractional revision": (with_field("revision", 1.5), "messages[1].revision"),
    "true revision": (with_field("revision", True), "messages[1].revision"),
}


async def refused(gateway: Gateway, path: str, body: bytes, field: str, status: int = 400) -> None:
    answer = await gateway.http.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem.get("field", "") == field
    assert "Traceback" not in answer.text


async def test_every_bad_body_is_refused_by_its_place_and_nothing_of_it_is_kept(gateway: Gateway) -> None:
    for path in TAKING:
        table = BAD if path == "/run" else BAD | BAD_IN_DETAIL
        for body, field in table.values():
            await refused(gateway, path, body, field)
    assert await gateway.waiting() == 0
    assert await gateway.app.store.ask(RecordsAfter(seq=0, limit=10)) == []


async def test_odd_but_legal_texts_are_taken(gateway: Gateway) -> None:
    texts = [
        "",
        " ",
        "x" * 20_000,
        "\U0001f600" * 20_000,
        "\\u0000",
        "a\tb\nc",
        "\u202e\u200b",
        "e\u0301" * 100,
        "null",
    ]
    answer = await gateway.post("/run", {"messages": [{"id": str(i), "text": text} for i, text in enumerate(texts)]})
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == len(texts)


async def test_of_the_same_key_twice_the_last_counts(gateway: Gateway) -> None:
    body = b'{"messages":[{"id":"1","text":"bad","text":"fine"}]}'
    answer = await gateway.http.post("/run", content=body, headers={"content-type": "application/json; charset=UTF-8"})
    assert answer.json()["results"][0]["action"] == "allow"


async def test_dates_at_the_ends_of_time_are_no_trouble(gateway: Gateway) -> None:
    ends = ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2016-12-31T23:59:60Z")
    for end in ends:
        body = {"messages": [{"id": "1", "text": "bad", "sent_at": end, "author": {"id": "1", "joined_at": end}}]}
        answer = await gateway.post("/v1/moderate", body)
        assert answer.status_code in {200, 400}


async def test_json_under_another_name_is_refused(gateway: Gateway) -> None:
    for media in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
        "",
    ):
        for path in (*TAKING, "/v1/keys", "/v1/erase", "/v1/reviews/1"):
            answer = await gateway.http.post(path, content=b"{}", headers={"content-type": media})
            assert answer.status_code == 415, path


async def test_compressed_bodies_are_refused(gateway: Gateway) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await gateway.http.post("/run", content=b"x", headers=headers)).status_code == 415


async def test_bodies_beyond_the_limit_are_refused(gateway: Gateway) -> None:
    megabyte = b'{"messages":[{"id":"1","text":"%b"}]}' % (b"x" * 1024 * 1024)
    for path in TAKING:
        await refused(gateway, path, megabyte, "", 413)
        await refused(gateway, path, b"[" * 10_000_000, "", 413)
    for path in ("/v1/keys", "/v1/erase", "/v1/reviews/1"):
        await refused(gateway, path, b" " * (256 * 1024 + 1), "", 413)


async def test_a_body_without_a_length_is_counted_as_it_comes(gateway: Gateway) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b" " * 64 * 1024

    headers = {"content-type": "application/json"}
    answer = await gateway.http.post("/run", content=endless(), headers=headers)
    assert answer.status_code == 413


async def test_a_length_that_is_none_breaks_nothing(gateway: Gateway) -> None:
    for length in ("-1", "x", "9" * 5000, "1e3"):
        request = httpx.Request("POST", f"{gateway.url}/run", headers={"content-length": length}, content=b"")
        try:
            answer = await gateway.http.send(request)
        except httpx.HTTPError:
            continue
        assert 400 <= answer.status_code < 500


async def test_parameters_are_refused_by_their_name(gateway: Gateway) -> None:
    for query, field in (
        ("after=-1", "after"),
        ("after=x", "after"),
        ("after=99999999999999999999", "after"),
        ("after=1.5", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("wait=31", "wait"),
        ("wait=nan", "wait"),
        ("wait=-1", "wait"),
        ("wait=inf", "wait"),
        ("afer=1", "afer"),
        ("client=" + "x" * 257, "client"),
    ):
        answer = await gateway.http.get(f"/v1/decisions?{query}")
        assert (answer.status_code, answer.json()["field"]) == (400, field), query


async def test_what_is_not_there_and_what_is_not_allowed_are_problems_too(gateway: Gateway) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/v1/reviews/0", 404),
        ("GET", "/v1/reviews/9999999999999999999999", 404),
        ("GET", "/v1/reviews/%00", 404),
        ("GET", "/chat/%2e%2e%2fapp.py", 404),
        ("PUT", "/run", 405),
        ("GET", "/run", 405),
        ("GET", "/v1/stream", 426),
        ("GET", "/v1/chat/lobby", 426),
    ):
        answer = await gateway.http.request(method, path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/problem+json"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps({"messages": [value]}).encode()))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_body_is_it_is_decoded_or_refused(raw: bytes) -> None:
    with contextlib.suppress(ProblemError):
        decode(MESSAGES.decoder, raw)
