"""The SAM template as it is, deployed to an emulator: queue, function, dead letters."""

import io
import json
import os
import re
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from chat_moderator.queues.envelope import seal
from chat_moderator.testing.factories import make_message
from chat_moderator.types import Verdict
from tests.functions.decisions import Decisions, collecting
from tests.running import free_port
from tests.servers.process import ServerProcess

RECIPE = Path(__file__).parents[2] / "deploy" / "aws-lambda"
PATIENCE = 45.0


def until(condition: Callable[[], Any], *, told: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, told()
        threading.Event().wait(0.1)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("aws") / "log"


@pytest.fixture(scope="module")
def aws(log: Path) -> Iterator[Callable[[str], Any]]:
    port = free_port()
    own = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "LAMBDA_EXECUTOR": "local"}
    server = ServerProcess([str(Path(sys.executable).parent / "ministack")], port, log, environment=os.environ | own)
    session = botocore.session.Session()
    session.set_credentials("test", "test")

    def client(name: str) -> Any:
        return session.create_client(name, region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{port}")

    yield client
    server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def decisions() -> Iterator[Decisions]:
    with collecting() as collected:
        yield collected


@pytest.fixture(scope="module")
def stack(aws: Callable[[str], Any], decisions: Decisions, log: Path) -> dict[str, str]:
    """Makes the stack; what it puts out, by name."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as packed:
        for name in ("app.py", "moderator.toml"):
            packed.write(RECIPE / name, name)
    storage = aws("s3")
    storage.create_bucket(Bucket="code")
    storage.put_object(Bucket="code", Key="function.zip", Body=code.getvalue())
    template = (
        (RECIPE / "template.yaml").read_text().replace("CodeUri: function.zip", "CodeUri: s3://code/function.zip")
    )
    parameters = {"DecisionsUrl": decisions.url, "DecisionsSecret": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="}
    formation = aws("cloudformation")
    formation.create_stack(
        StackName="moderator",
        TemplateBody=template,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )

    def made() -> dict[str, Any]:
        found: dict[str, Any] = formation.describe_stacks(StackName="moderator")["Stacks"][0]
        return found

    until(lambda: not made()["StackStatus"].endswith("IN_PROGRESS"), told=log.read_text)
    assert made()["StackStatus"] == "CREATE_COMPLETE", log.read_text()
    outputs = {each["OutputKey"]: each["OutputValue"] for each in made()["Outputs"]}
    # The emulator leaves the redrive policy of a template out; as deployed a message that failed is seen after minutes.
    count = re.search(r"maxReceiveCount: (\d+)", template)
    assert count
    dead = "arn:aws:sqs:us-east-1:000000000000:chat-moderator-dead.fifo"
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": count[1]})
    attributes = {"VisibilityTimeout": "0", "RedrivePolicy": redrive}
    aws("sqs").set_queue_attributes(QueueUrl=outputs["QueueUrl"], Attributes=attributes)
    return outputs


def test_only_the_bad_message_ends_in_the_dead_letters(
    aws: Callable[[str], Any], stack: dict[str, str], decisions: Decisions, log: Path
) -> None:
    queue = aws("sqs")
    messages = [
        make_message(id=str(number), channel=f"channel-{number}", text="you idiot" if number % 2 else "hello")
        for number in range(30)
    ]
    for number, each in enumerate(seal(messages, largest=100_000)):
        queue.send_message(
            QueueUrl=stack["QueueUrl"],
            MessageBody=each.data.decode(),
            MessageGroupId=str(each.lane),
            MessageDeduplicationId=str(number),
        )
        if number == 3:
            queue.send_message(
                QueueUrl=stack["QueueUrl"], MessageBody="no json", MessageGroupId="bad", MessageDeduplicationId="bad"
            )
    dead = queue.get_queue_url(QueueName="chat-moderator-dead.fifo")["QueueUrl"]

    def count(url: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(value) for value in found.values())

    until(lambda: count(dead) == 1 and count(stack["QueueUrl"]) == 0, told=log.read_text)
    (buried,) = queue.receive_message(QueueUrl=dead)["Messages"]
    assert buried["Body"] == "no json"
    verdicts = {each.message.id: each.decision.verdict for each in decisions.records}
    assert verdicts == {str(number): Verdict.BLOCK if number % 2 else Verdict.ALLOW for number in range(30)}
    assert len(set(decisions.ids)) == len(decisions.ids)


def test_the_deployed_function_answers_an_invocation(aws: Callable[[str], Any], stack: dict[str, str]) -> None:
    names = [each["FunctionName"] for each in aws("lambda").list_functions()["Functions"]]
    body = json.dumps({"messages": [{"id": "1", "text": "Hello!"}]})
    answer = aws("lambda").invoke(FunctionName=names[0], Payload=body)
    assert json.loads(answer["Payload"].read())["results"][0]["action"] == "allow"
