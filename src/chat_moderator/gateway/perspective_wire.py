"""Perspective's requests, answers and errors on the wire.

Google reads JSON leniently: names may be written in camel or snake case, null is as good as nothing, and a number may
be a string. What was written against it must work here, so this does the same.
"""

import re
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from chat_moderator.gateway.bodies import decode, invalid, refuse_unstorable
from chat_moderator.gateway.problems import Dialect, ProblemError
from chat_moderator.types import Struct

PROBABILITY: Final = "PROBABILITY"
SCORE_TYPES: Final = (PROBABILITY, "SCORE_TYPE_UNSPECIFIED")
ERROR: Final = "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"
ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
BAD_REQUEST: Final = "type.googleapis.com/google.rpc.BadRequest"

_STATUSES: Final = {
    HTTPStatus.BAD_REQUEST: "INVALID_ARGUMENT",
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.METHOD_NOT_ALLOWED: "UNIMPLEMENTED",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "INVALID_ARGUMENT",
    HTTPStatus.TOO_MANY_REQUESTS: "RESOURCE_EXHAUSTED",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
}
_AS_BAD_REQUEST: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_REASONS: Final = {
    "rate_limit_exceeded": "RATE_LIMIT_EXCEEDED",
    "quota": "RATE_LIMIT_EXCEEDED",
    "API_KEY_INVALID": "API_KEY_INVALID",
}
_UNREGISTERED: Final = (
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other "
    "form of API consumer identity to call this API."
)
_SNAKE: Final = re.compile(r"(?<=[a-z])_([a-z])")


class Camel(Struct, rename="camel", frozen=True):
    """Base of what is written in camel case."""


class TextEntry(Camel, frozen=True):
    """A text; `type` may be PLAIN_TEXT only."""

    text: str = ""
    type: str = "PLAIN_TEXT"


class ArticleContext(Camel, frozen=True):
    """What a comment answers."""

    article: TextEntry | None = None
    parent_comment: TextEntry | None = None


class CommentContext(Camel, frozen=True):
    """What a comment refers to; taken and not looked at, as by Google."""

    entries: list[TextEntry] = []
    article_and_parent_comment: ArticleContext | None = None


class AttributeParameters(Camel, frozen=True):
    """How a score is wanted: `score_type` PROBABILITY; nothing is answered for a score below `score_threshold`."""

    score_type: str = PROBABILITY
    score_threshold: float = 0.0


class AnalyzeRequest(Camel, frozen=True):
    """A comment and the attributes that it is to be scored for."""

    comment: TextEntry = TextEntry()
    requested_attributes: dict[str, AttributeParameters] = {}
    languages: list[Annotated[str, Meta(max_length=35)]] = []
    span_annotations: bool = False
    do_not_store: bool = False
    client_token: str = ""
    session_id: str = ""
    community_id: Annotated[str, Meta(max_length=256)] = ""
    context: CommentContext | None = None
    drop_unsupported_attributes: bool = False


class Score(Camel, frozen=True):
    """A score from 0 to 1."""

    value: float
    type: str = PROBABILITY


class SpanScore(Camel, frozen=True):
    """The score of a part of the comment: `begin` to `end` (exclusive) in UTF-16 code units."""

    begin: int
    end: int
    score: Score


class AttributeScores(Camel, frozen=True):
    """The scores of one attribute."""

    span_scores: list[SpanScore]
    summary_score: Score


class AnalyzeResponse(Camel, omit_defaults=True, frozen=True):
    """Scores by attribute as it was asked for; none where all are below their thresholds."""

    attribute_scores: dict[str, AttributeScores] = {}
    languages: tuple[str, ...] = ()
    detected_languages: tuple[str, ...] = ()
    client_token: str = ""


class SuggestedScore(Camel, frozen=True):
    """A score that somebody suggests."""

    value: Annotated[float, Meta(ge=0.0, le=1.0)]
    type: str = PROBABILITY


class SuggestedSpan(Camel, frozen=True):
    """A score for a part; taken and not kept."""

    begin: int = 0
    end: int = 0
    score: SuggestedScore | None = None


class SuggestedScores(Camel, frozen=True):
    """What somebody suggests for one attribute."""

    summary_score: SuggestedScore | None = None
    span_scores: list[SuggestedSpan] = []


class SuggestRequest(Camel, frozen=True):
    """A comment and the scores that it should have had."""

    comment: TextEntry = TextEntry()
    attribute_scores: dict[str, SuggestedScores] = {}
    languages: list[Annotated[str, Meta(max_length=35)]] = []
    client_token: Annotated[str, Meta(max_length=1024)] = ""
    session_id: str = ""
    community_id: Annotated[str, Meta(max_length=256)] = ""
    context: CommentContext | None = None


class SuggestResponse(Camel, omit_defaults=True, frozen=True):
    """Echoes the client's token; `requested_languages` and `detected_languages` as of `analyze`."""

    client_token: str = ""
    requested_languages: tuple[str, ...] = ()
    detected_languages: tuple[str, ...] = ()


class GoogleErrorBody(Struct, frozen=True):
    """What is wrong: `details` name the kind, by `errorType` or `reason`."""

    code: int
    message: str
    status: str
    details: list[dict[str, Any]]


class GoogleErrorDetails(Struct, frozen=True):
    """Google's shape of an error."""

    error: GoogleErrorBody


class PerspectiveError(ProblemError):
    """A 400 that Perspective documents, by its `errorType`."""

    def __init__(self, error_type: str, message: str, **more: Any) -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, message, reason=error_type)
        self.more = more


def write_error(problem: ProblemError) -> tuple[int, bytes]:
    """A problem in Google's shape."""
    details = problem.details
    status = HTTPStatus.BAD_REQUEST if details.status in _AS_BAD_REQUEST else HTTPStatus(details.status)
    message = details.detail
    if problem.reason == "key_missing":
        status, message = HTTPStatus.FORBIDDEN, _UNREGISTERED
    if isinstance(problem, PerspectiveError):
        found: list[dict[str, Any]] = [{"@type": ERROR, "errorType": problem.reason, **problem.more}]
    elif problem.reason in _REASONS:
        found = [{"@type": ERROR_INFO, "reason": _REASONS[problem.reason], "domain": "googleapis.com"}]
    elif status == HTTPStatus.BAD_REQUEST:
        found = [{"@type": ERROR, "errorType": "INVALID_REQUEST"}]
        if details.field:
            violation = {"field": details.field, "description": message}
            found.append({"@type": BAD_REQUEST, "fieldViolations": [violation]})
            message = f"Invalid JSON payload received. {message} ({details.field})"
    else:  # some clients look at the first of the details whatever went wrong
        found = [{"@type": ERROR_INFO, "reason": _STATUSES.get(status, "INTERNAL"), "domain": "googleapis.com"}]
    body = GoogleErrorBody(status, message, _STATUSES.get(status, "INTERNAL"), found)
    return status, msgspec.json.encode(GoogleErrorDetails(body))


DIALECT: Final = Dialect(GoogleErrorDetails, "application/json", write_error)


def read_leniently(decoder: "msgspec.json.Decoder[Any]", raw: bytes) -> Any:
    """The typed value of a JSON text as Google reads it.

    Raises:
        ProblemError: 400, naming the field.
    """
    if not raw.strip():
        raw = b"{}"
    try:
        return decode(decoder, raw)
    except ProblemError as strict:
        try:
            value = _usual(msgspec.json.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise strict from strict.__cause__
        refuse_unstorable(raw)
        try:
            return msgspec.convert(value, decoder.type, strict=False)
        except msgspec.ValidationError as error:
            raise invalid(error) from error


def _usual(value: Any) -> Any:
    """Names in camel case, and no nulls."""
    match value:
        case dict():
            return {_camel(key): _usual(inner) for key, inner in value.items() if inner is not None}
        case list():
            return [_usual(inner) for inner in value if inner is not None]
        case _:
            return value


def _camel(name: str) -> str:
    return _SNAKE.sub(lambda match: match[1].upper(), name)
