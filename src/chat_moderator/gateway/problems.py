"""What goes wrong, as RFC 9457 problem details: one sentence, and the field where there is one. Never a traceback."""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from chat_moderator.errors import (
    ChatModeratorError,
    ConflictError,
    NotFoundError,
    TooLargeError,
    TransientError,
)
from chat_moderator.types import Struct

log = logging.getLogger(__name__)

MEDIA: Final = "application/problem+json"
BUSY: Final = 5
"""Seconds to wait before another try when nobody knows better."""

FAULT: Final = "This is a fault of the server; its log says more."
_LONGEST: Final = 300


class ProblemDetails(Struct, omit_defaults=True, frozen=True):
    """RFC 9457. `title` is the status in words, `detail` what is wrong, `field` where, such as `messages[3].text`."""

    type: str
    title: str
    status: int
    detail: str
    field: str = ""


class ProblemError(Exception):
    """Ends a request with a problem.

    Args:
        status: of HTTP, 400 to 599.
        detail: what is wrong and what is allowed, in one sentence.
        field: where in the body or the query.
        headers: to be sent with it.
        reason: the kind of problem in one word, for dialects that name it.
    """

    def __init__(
        self, status: int, detail: str, *, field: str = "", headers: Mapping[str, str] | None = None, reason: str = ""
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.details = ProblemDetails(
            "about:blank", HTTPStatus(status).phrase, status, _sendable(detail), _sendable(field)
        )
        self.headers = {"x-content-type-options": "nosniff", "cache-control": "no-store", **(headers or {})}

    @property
    def status(self) -> int:
        """Of HTTP."""
        return self.details.status

    @property
    def body(self) -> bytes:
        """The details as JSON."""
        return msgspec.json.encode(self.details)


class Dialect(NamedTuple):
    """How a route says what goes wrong.

    Attributes:
        details: the type of the body.
        media: of the body.
        write: the status and the body for a problem.
    """

    details: type[Any]
    media: str
    write: Callable[[ProblemError], tuple[int, bytes]]


PROBLEM_DETAILS: Final = Dialect(ProblemDetails, MEDIA, lambda problem: (problem.status, problem.body))
"""What every route speaks that does not stand in for somebody else's."""

DIALECTS: Final = "dialects"
"""Where the gateway keeps the other dialects, by path."""


def problem_of(error: Exception) -> ProblemError:
    """The problem that an error is to its caller."""
    match error:
        case ProblemError():
            problem = error
        case HTTPException():
            problem = _of_framework(error)
        case TransientError():
            problem = _busy(error)
        case ConflictError():
            place, text = _placed(error)
            problem = ProblemError(HTTPStatus.CONFLICT, _sentence(text), field=place)
        case TooLargeError():
            problem = ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _sentence(error))
        case NotFoundError():
            problem = ProblemError(HTTPStatus.NOT_FOUND, _sentence(error))
        case TimeoutError() | ChatModeratorError():
            log.error("a request could not be answered: %s", error or "it took too long")
            problem = _busy(TransientError("the server cannot answer this now"))
        case _:
            log.error("a request failed in a way that was not foreseen", exc_info=error)
            problem = ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, FAULT)
    return problem


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The response for an error that ended a request, in the dialect of its path."""
    problem = problem_of(error)
    path = request.scope["path"].removeprefix(request.scope.get("root_path", "")).rstrip("/")
    dialect: Dialect = request.app.state[DIALECTS].get(path, PROBLEM_DETAILS)
    status, body = dialect.write(problem)
    return Response(body, status_code=status, media_type=dialect.media, headers=problem.headers)


def _busy(error: TransientError) -> ProblemError:
    """429 where the error says when there is room again, as a full queue does; 503 where nobody knows."""
    wait = error.retry_after
    status = HTTPStatus.SERVICE_UNAVAILABLE if wait is None else HTTPStatus.TOO_MANY_REQUESTS
    seconds = BUSY if wait is None else max(1, round(wait.total_seconds()))
    return ProblemError(status, _sentence(error), headers={"retry-after": str(seconds)})


def _of_framework(error: HTTPException) -> ProblemError:
    allowed = (error.headers or {}).get("allow", "")
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return ProblemError(error.status_code, "There is nothing at this address; /docs lists what there is.")
        case HTTPStatus.METHOD_NOT_ALLOWED if "websocket" in allowed:
            return ProblemError(
                HTTPStatus.UPGRADE_REQUIRED, "This address speaks WebSocket only.", headers={"upgrade": "websocket"}
            )
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return ProblemError(error.status_code, f"Allowed here: {allowed}.", headers={"allow": allowed})
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("a request failed in a way that was not foreseen", exc_info=error)
            return ProblemError(status, FAULT)
        case status:
            return ProblemError(status, _sentence(error.detail))


def _sendable(text: str) -> str:
    """Short, and without the lone surrogates that a sender's own field names may hold."""
    return text[:_LONGEST].encode(errors="replace").decode()


def _sentence(error: object) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _placed(error: ConflictError) -> tuple[str, str]:
    """Where a conflict is, and what it is."""
    place, separator, text = str(error).partition(": ")
    return (place, text) if separator and place.startswith("messages[") else ("", str(error))
