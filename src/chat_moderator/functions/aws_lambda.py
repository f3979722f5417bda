"""AWS Lambda: an SQS event source with partial batch responses, a function URL, and direct invocations.

The queue's messages are envelopes as the queue `sqs` puts them, so that a worker and a function are exchangeable.
"""

import base64
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from chat_moderator.errors import PermanentError, TransientError
from chat_moderator.functions.function import Delivered, Function, Loop, admits, configure, delivered, read_settings
from chat_moderator.types import Struct

log = logging.getLogger(__name__)


class Config(Struct, frozen=True):
    """`token`: what callers of a function URL without IAM send as a bearer; refused while it is empty."""

    token: str = ""


class LambdaFunction:
    """The handler that Lambda calls.

    Args:
        folder: with moderator.toml, where there is one.
        environment: of the process.

    Raises:
        ConfigError: the settings are wrong.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        settings = read_settings(folder, environment)
        self._config = configure(settings, "aws_lambda", Config)
        self._function = Function(settings)
        self._loop = Loop()

    def __call__(self, event: Any, context: object) -> dict[str, Any]:  # noqa: ARG002 -- the platform passes it
        """Answers one event, by what it is.

        Raises:
            ConfigError: messages of a queue came and there is nowhere to keep decisions; they stay in the queue.
        """
        match event:
            case {"Records": [{"eventSource": "aws:sqs"}, *_] as records}:
                failed = self._loop.run(self._drain(records))
                return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}
            case {"requestContext": {"http": {"method": str(method), "path": str(path)}} as request}:
                return self._loop.run(self._serve(method, path, request, event))
            case _:
                answered: dict[str, Any] = msgspec.to_builtins(self._loop.run(self._function.answer(event)))
                return answered

    async def _drain(self, records: Sequence[Any]) -> list[str]:
        """Judges what a queue handed over; returns the ids of what is to come again."""
        self._function.require_keeping()
        batch = _Batch(records)
        opened = [(record, found) for record in records if (found := batch.open(record)) is not None]
        try:
            await self._function.take([found for _, found in opened])
        except TransientError as problem:
            log.warning("a batch comes again: %s", problem)
            return [record["messageId"] for record in records]
        except Exception as problem:  # noqa: BLE001 -- one of them is to blame; which one is found by asking one by one
            log.warning("a batch is judged message by message: %s", problem)
            await self._take_alone(opened, batch)
        return batch.failed

    async def _take_alone(self, opened: Sequence[tuple[Any, Delivered]], batch: "_Batch") -> None:
        for record, found in opened:
            if batch.blocks(record):
                continue
            try:
                await self._function.take([found])
            except Exception:
                log.exception("message %s of the queue failed", record["messageId"])
                batch.fail(record)

    async def _serve(self, method: str, path: str, request: Any, event: Any) -> dict[str, Any]:
        """A call of the function URL."""
        headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
        by_iam = bool((request.get("authorizer") or {}).get("iam"))
        if (method, path) != ("POST", "/run"):
            status, body = HTTPStatus.NOT_FOUND.value, b'{"detail":"There is POST /run here."}'
        elif not by_iam and not admits(self._config.token, headers.get("authorization", "")):
            status, body = HTTPStatus.UNAUTHORIZED.value, b'{"detail":"A bearer token is needed."}'
        else:
            raw = event.get("body") or ""
            encoded = event.get("isBase64Encoded", False)
            status, body = await self._function.respond(base64.b64decode(raw) if encoded else raw.encode())
        return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": body.decode()}


class _Batch:
    """Which records come again: in a FIFO queue, with one also all after it in its group, so that order is kept."""

    def __init__(self, records: Sequence[Any]) -> None:
        self._records = records
        self._failed: set[str] = set()
        self._groups: set[str] = set()

    @property
    def failed(self) -> list[str]:
        """Ids, in order."""
        return [record["messageId"] for record in self._records if record["messageId"] in self._failed]

    def open(self, record: Any) -> Delivered | None:
        """What is in a record; None where it is none of ours or its group waits for an earlier one."""
        if self.blocks(record):
            return None
        attributes = record["attributes"]
        sent_at = datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC)
        deliveries = int(attributes["ApproximateReceiveCount"])
        try:
            return delivered(record["body"].encode(), sent_at=sent_at, deliveries=deliveries)
        except (PermanentError, UnicodeEncodeError) as problem:
            log.error("message %s of the queue cannot be read: %s", record["messageId"], problem)  # noqa: TRY400
            self.fail(record)
            return None

    def blocks(self, record: Any) -> bool:
        """Whether the record waits for an earlier one of its group; then it comes again too."""
        waits = record["attributes"].get("MessageGroupId") in self._groups
        if waits:
            self._failed.add(record["messageId"])
        return waits

    def fail(self, record: Any) -> None:
        """The record comes again, until its queue moves it to the dead letters."""
        self._failed.add(record["messageId"])
        group = record["attributes"].get("MessageGroupId")
        if group is not None:
            self._groups.add(group)
