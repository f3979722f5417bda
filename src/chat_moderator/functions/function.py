"""A moderator inside a serverless function: built once a process, asked by whatever the platform calls."""

import asyncio
import hmac
import logging
import re
import threading
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from chat_moderator import config
from chat_moderator.app import build_cascade, build_policy, build_recent, build_shared, build_sinks
from chat_moderator.config import Settings
from chat_moderator.connections import performable
from chat_moderator.errors import ChatModeratorError, ConfigError, ConflictError, PermanentError
from chat_moderator.gateway.limits import BATCH_BODY, VERDICT_TIMEOUT
from chat_moderator.gateway.wire import BriefResult, MessagesBody, brief_result, messages_of
from chat_moderator.moderator.moderator import Moderator, recorded
from chat_moderator.protocols import AuditStore
from chat_moderator.queues.envelope import unseal
from chat_moderator.store.stored_audit import StoredAudit
from chat_moderator.types import Message, Record, Struct, now

FILE: Final = "CHAT_MODERATOR_CONFIG"
"""The environment's name for the settings' file."""

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")

T = TypeVar("T")

log = logging.getLogger(__name__)


class Answer(Struct, frozen=True):
    """One result a message, in order; `audited` says whether decisions are kept where they can be looked up.

    `experimental` are labels that had too little data to be trusted.
    """

    results: list[BriefResult]
    audited: bool
    experimental: tuple[str, ...] = ()


class Problem(Struct, frozen=True):
    """Why there is no answer; `field` is where in the body, Cerebrium takes the HTTP status from `status_code`."""

    status_code: int
    title: str
    detail: str
    field: str = ""


class Delivered(Struct, frozen=True):
    """Messages that a queue delivered together; `attempts` counts deliveries, from 1."""

    messages: tuple[Message, ...]
    received_at: datetime
    attempts: int


def delivered(data: bytes, *, sent_at: datetime, deliveries: int) -> Delivered:
    """What is in an envelope of a queue, in the form that workers put and take.

    Raises:
        PermanentError: it is none of ours.
    """
    envelope = unseal(data)
    at = datetime.fromtimestamp(envelope.received_at, UTC) if envelope.received_at else sent_at
    return Delivered(envelope.messages, at, envelope.attempts + deliveries - 1)


def read_settings(folder: Path, environment: Mapping[str, str]) -> Settings:
    """The settings of the file that the environment names, else of moderator.toml in `folder`, else the built-in ones.

    Raises:
        ConfigError: the file is missing or something in it is wrong.
    """
    named = environment.get(FILE)
    path = Path(named) if named else folder / "moderator.toml"
    return config.read(path if named or path.is_file() else None, environment)


def configure(settings: Settings, name: str, kind: type[T]) -> T:
    """The settings of one platform, `[functions.NAME]`.

    Raises:
        ConfigError: a key or a value is not known.
    """
    try:
        return msgspec.convert(settings.functions.get(name, {}), kind)
    except msgspec.ValidationError as problem:
        raise ConfigError(f"functions.{name}", str(problem)) from problem


class Function:
    """Judges for callers who wait, and for queues.

    Decisions go to the audit store and the sinks before anybody is answered. An audit store is PostgreSQL; in it the
    actions that follow wait for the process that has the connections to the platforms.

    Args:
        settings: as read; of the sources in them it counts what can be done there, the server and the queue do not.

    Raises:
        ConfigError: something in the settings is wrong.
    """

    def __init__(self, settings: Settings) -> None:
        shared = build_shared(settings.store)
        self._audit: AuditStore | None = StoredAudit(shared) if shared else None
        self._moderator = Moderator(
            build_cascade(settings),
            build_policy(settings, _rule_failed),
            performable=performable(settings) if shared else lambda _: (),
            recent=build_recent(settings),
        )
        self._sinks = build_sinks(settings)

    def require_keeping(self) -> None:
        """Refuses to take messages from a queue while their decisions would go nowhere.

        Raises:
            ConfigError: there is neither an audit store nor a sink.
        """
        if self._audit is None and not self._sinks:
            raise ConfigError("sinks", "the decisions would be lost: configure an audit store or a sink")

    async def judge(self, messages: Sequence[Message]) -> list[Record]:
        """One record a message, in order, kept where the settings say.

        Raises:
            TransientError: nothing can be judged, or the audit store or a sink cannot take it; to be handed in again.
        """
        records = await self._decide(messages, [now()] * len(messages))
        await self._deliver(records)
        if self._audit is not None:
            await self._audit.append(records)
        return records

    async def take(self, envelopes: Sequence[Delivered]) -> None:
        """Judges what a queue delivered and keeps it; what was decided before has no effect.

        Raises:
            TransientError: as in `judge`.
            PermanentError: a message key came again with another text; all others are done.
        """
        messages = [message for each in envelopes for message in each.messages]
        if not messages:
            return
        received = [each.received_at for each in envelopes for _ in each.messages]
        attempts = [each.attempts for each in envelopes for _ in each.messages]
        records = await self._decide(messages, received, attempts)
        await self._deliver(records)
        if self._audit is not None:
            appended = await self._audit.append_once(records)
            if appended.conflicts:
                raise ConflictError(appended.conflicts[0], messages[appended.conflicts[0]].id)

    async def answer(self, body: object) -> Answer | Problem:
        """What the caller of one request is told.

        Args:
            body: decoded JSON, `{"messages": [{"id": "1", "text": "…"}, …]}`; the keys of `/v1/moderate` may be there.
        """
        try:
            messages = _messages(body)
            async with asyncio.timeout(VERDICT_TIMEOUT):
                records = await self.judge(messages)
        except msgspec.ValidationError as problem:
            what, _, place = str(problem).partition(" - at `$")
            return _problem(HTTPStatus.BAD_REQUEST, f"{what.replace('`', '')}.", place.strip("`."))
        except PermanentError as problem:
            return _problem(HTTPStatus.BAD_REQUEST, f"{problem}.")
        except (ChatModeratorError, TimeoutError) as problem:
            log.warning("a request could not be answered: %s", problem or "it took too long")
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "No verdict could be reached; send it again.")
        except Exception:
            log.exception("a request failed in a way that was not foreseen")
            return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "This is a fault of the moderator; its log says more.")
        return Answer(
            [brief_result(record) for record in records], self._audit is not None, self._moderator.cascade.experimental
        )

    async def respond(self, raw: bytes) -> tuple[int, bytes]:
        """Status and JSON body of the answer to an HTTP request."""
        if len(raw) > BATCH_BODY:
            problem = f"At most {BATCH_BODY // 1024} KB are taken at once."
            answered: Answer | Problem = _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, problem)
        else:
            try:
                answered = await self.answer(msgspec.json.decode(raw))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                answered = _problem(HTTPStatus.BAD_REQUEST, "The body is not JSON.")
        status = answered.status_code if isinstance(answered, Problem) else HTTPStatus.OK
        return status, msgspec.json.encode(answered)

    async def _decide(
        self, messages: Sequence[Message], received_at: Sequence[datetime], attempts: Sequence[int] = ()
    ) -> list[Record]:
        decisions = await self._moderator.moderate(messages)
        return recorded(messages, decisions, received_at=received_at, decided_at=now(), attempts=attempts)

    async def _deliver(self, records: Sequence[Record]) -> None:
        """Before the audit, so that a sink that fails is asked again with the next delivery."""
        for _, sink in self._sinks:
            await sink.write(records)


def admits(token: str, authorization: str) -> bool:
    """Whether the header `Authorization` carries the bearer token; without a token nobody is admitted."""
    given = authorization.encode(errors="replace")
    return bool(token) and hmac.compare_digest(given, f"Bearer {token}".encode())


class Loop:
    """An event loop on a thread of its own, for platforms that call plain functions, from any number of threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="function", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for the result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _messages(body: object) -> list[Message]:
    messages = messages_of(msgspec.convert(body, MessagesBody).messages, "")
    for index, message in enumerate(messages):
        for name, value in (("id", message.id), ("text", message.text)):
            if _UNSTORABLE.search(value):
                raise msgspec.ValidationError(
                    f"NUL and lone surrogates are not taken - at `$.messages[{index}].{name}`"
                )
    return messages


def _problem(status: HTTPStatus, detail: str, field: str = "") -> Problem:
    return Problem(status.value, status.phrase, detail, field)


def _rule_failed(rule: str) -> None:
    log.warning("rule %r failed on a message, which is held", rule)
