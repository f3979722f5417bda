"""The function on AWS Lambda: called by the real runtime interface client, and fed by a queue in an emulator."""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chat_moderator.functions.aws_lambda import LambdaFunction
from chat_moderator.queues.envelope import Envelope, sealed
from chat_moderator.testing.factories import make_message
from chat_moderator.types import Message
from tests.functions.decisions import Decisions, collecting
from tests.servers import lambda_runtime
from tests.servers.lambda_runtime import Runtime

RECIPE = Path(__file__).parents[2] / "deploy" / "aws-lambda"
SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="
TOKEN = "run-token"


@pytest.fixture(scope="module")
def decisions() -> Iterator[Decisions]:
    with collecting() as collected:
        yield collected


@pytest.fixture(scope="module")
def runtime(decisions: Decisions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("function")
    for name in ("app.py", "moderator.toml"):
        shutil.copy(RECIPE / name, folder)
    environment = {"DECISIONS_URL": decisions.url, "DECISIONS_SECRET": SECRET, "RUN_TOKEN": TOKEN}
    with lambda_runtime.running(folder, environment) as started:
        yield started


def record(identifier: str, body: str, *, group: str | None = "7", receives: int = 1) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": str(receives), "SentTimestamp": "1790000000000"}
    return {
        "messageId": identifier,
        "receiptHandle": "handle",
        "body": body,
        "attributes": attributes | ({"MessageGroupId": group} if group else {}),
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:000000000000:chat-moderator.fifo",
        "awsRegion": "eu-west-1",
    }


def envelope(*messages: Message, attempts: int = 1) -> str:
    return sealed(Envelope(messages, attempts=attempts)).data.decode()


def failed(answer: Any) -> list[str]:
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def url_call(body: str | None, *, path: str = "/run", method: str = "POST", **more: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    request = {"http": {"method": method, "path": path, "sourceIp": "192.0.2.1"}}
    event = {"version": "2.0", "rawPath": path, "headers": headers, "requestContext": request}
    return event | ({} if body is None else {"body": body, "isBase64Encoded": False}) | more


BODY = '{"messages":[{"id":"1","text":"Hello!"}, {"id":"2","text":"Fuck"}]}'


def test_a_batch_of_the_queue_is_decided_and_settled(runtime: Runtime, decisions: Decisions) -> None:
    first = envelope(make_message(id="a1", text="hello"), make_message(id="a2", text="you idiot"), attempts=2)
    answer = runtime.invoke({"Records": [record("m1", first, receives=3)]})
    assert failed(answer) == []
    found = {each.message.id: each for each in decisions.records if each.message.id in {"a1", "a2"}}
    assert [found[name].decision.verdict for name in ("a1", "a2")] == ["allow", "block"]
    assert found["a1"].attempts == 4
    assert found["a1"].received_at.year == 2026


@pytest.mark.parametrize(
    "body", ["", "{}", "no json", '{"messages": []}', '{"messages": [{"id": 1, "text": "x"}]}', "[" * 10_000, "\ud800"]
)
def test_only_what_cannot_be_read_comes_again(runtime: Runtime, decisions: Decisions, body: str) -> None:
    good = envelope(make_message(id=f"b{len(decisions.records)}", text="hello"))
    before = len(decisions.records)
    answer = runtime.invoke({"Records": [record("good", good, group="1"), record("bad", body, group="2")]})
    assert failed(answer) == ["bad"]
    assert len(decisions.records) == before + 1


def test_after_a_bad_one_its_group_waits_and_other_groups_go_on(runtime: Runtime, decisions: Decisions) -> None:
    names = [("c1", "1"), ("bad", "1"), ("c2", "1"), ("c3", "2")]
    records = [
        record(name, "no json" if name == "bad" else envelope(make_message(id=name, text="hello")), group=group)
        for name, group in names
    ]
    assert failed(runtime.invoke({"Records": records})) == ["bad", "c2"]
    assert [each.message.id for each in decisions.records[-2:]] == ["c1", "c3"]


def test_a_queue_without_groups_leaves_the_others_alone(runtime: Runtime) -> None:
    good = envelope(make_message(id="d", text="hello"))
    records = [record("bad", "no json", group=None), record("good", good, group=None)]
    assert failed(runtime.invoke({"Records": records})) == ["bad"]


def test_what_nobody_could_be_told_of_comes_again_whole(runtime: Runtime, decisions: Decisions) -> None:
    decisions.refuse = 1
    records = [record(name, envelope(make_message(id=name, text="hello")), group=name) for name in ("e1", "e2")]
    assert failed(runtime.invoke({"Records": records})) == ["e1", "e2"]
    assert failed(runtime.invoke({"Records": records})) == []
    assert [each.message.id for each in decisions.records[-2:]] == ["e1", "e2"]


def test_the_function_url_answers_as_the_server_does(runtime: Runtime) -> None:
    answer = runtime.invoke(url_call(BODY))
    assert answer["statusCode"] == 200
    told = json.loads(answer["body"])
    assert [each["action"] for each in told["results"]] == ["allow", "block"]
    assert told["audited"] is False
    encoded = url_call(base64.b64encode(BODY.encode()).decode(), isBase64Encoded=True)
    assert json.loads(runtime.invoke(encoded)["body"])["results"] == told["results"]


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (url_call(None), 400),
        (url_call("no json"), 400),
        (url_call('{"messages": 7}'), 400),
        (url_call("[" * 100_000), 400),
        (url_call('{"messages": "' + "x" * 2_000_000 + '"}'), 413),
        (url_call("&&&", isBase64Encoded=True), 400),
        (url_call(BODY, path="/"), 404),
        (url_call(BODY, method="GET"), 404),
        (url_call(BODY, headers={}), 401),
        (url_call(BODY, headers={"authorization": "Bearer wrong"}), 401),
        (url_call(BODY, headers={"authorization": "Bearer rün-token"}), 401),
    ],
    ids=range(11),
)
def test_a_call_that_cannot_be_answered_says_so(runtime: Runtime, event: dict[str, Any], status: int) -> None:
    answer = runtime.invoke(event)
    assert answer["statusCode"] == status
    assert json.loads(answer["body"])["detail"]


def test_whom_iam_let_in_needs_no_token(runtime: Runtime) -> None:
    event = url_call(BODY, headers={})
    event["requestContext"] |= {"authorizer": {"iam": {"userArn": "arn:aws:iam::000000000000:user/x"}}}
    assert runtime.invoke(event)["statusCode"] == 200


def test_it_can_be_invoked_with_a_body(runtime: Runtime) -> None:
    answer = runtime.invoke(json.loads(BODY))
    assert [each["action"] for each in answer["results"]] == ["allow", "block"]
    assert runtime.invoke({"Records": []})["status_code"] == 400
    assert runtime.invoke(None)["status_code"] == 400


def test_without_a_place_for_decisions_nothing_is_taken_from_a_queue(tmp_path: Path) -> None:
    shutil.copy(RECIPE / "app.py", tmp_path)
    with lambda_runtime.running(tmp_path, {}) as started:
        error = started.fail({"Records": [record("m", envelope(make_message()))]})
        assert error["errorType"] == "ConfigError"
        assert "the decisions would be lost" in error["errorMessage"]
        assert started.invoke(json.loads(BODY))["audited"] is False


def test_a_function_url_without_a_configured_token_lets_nobody_in(tmp_path: Path) -> None:
    answer = LambdaFunction(tmp_path, {})(url_call(BODY, headers={"authorization": "Bearer "}), None)
    assert answer["statusCode"] == 401
