"""OpenAI's `POST /v1/moderations`, answered on this machine: its requests, answers and errors, our verdicts."""

import re
import secrets
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, post
from litestar.types import ASGIApp
from msgspec import Meta

from chat_moderator.gateway import examples, limits
from chat_moderator.gateway.contract import HEADERS, OPT, Contract, Reply
from chat_moderator.gateway.judging import judged
from chat_moderator.gateway.problems import Dialect, ProblemError
from chat_moderator.gateway.services import caller_of, services_of
from chat_moderator.types import Assessment, Message, Record, Role, Struct, Verdict

TEXT: Final = 100_000
PARTS: Final = 64
MODELS: Final = (
    "omni-moderation-latest",
    "omni-moderation-2024-09-26",
    "text-moderation-latest",
    "text-moderation-stable",
    "text-moderation-007",
    "chat-moderator",
)
"""Names that all mean the model that runs here; so does its own version."""

EVIDENCE: Final[dict[str, tuple[str, ...]]] = {
    "harassment": ("toxicity", "insult"),
    "harassment/threatening": ("threat",),
    "hate": ("identity_attack",),
    "hate/threatening": (),
    "illicit": (),
    "illicit/violent": (),
    "self-harm": ("self_harm",),
    "self-harm/instructions": (),
    "self-harm/intent": (),
    "sexual": ("sexual_explicit",),
    "sexual/minors": (),
    "violence": ("threat",),
    "violence/graphic": (),
}
"""Our labels by category, of which the highest counts; none where we have no evidence."""

BOTH: Final = {"hate/threatening": ("identity_attack", "threat")}
"""Categories for which all of the labels must speak, so that the lowest counts."""

NULLABLE: Final = ("illicit", "illicit/violent")
"""Categories that may be null in OpenAI's schema."""

_CODES: Final = (
    (r"Object missing required field", "missing_required_parameter"),
    (r"Object contains unknown field", "unknown_parameter"),
    (r"Expected array of length >=", "empty_array"),
    (r"Expected array of length <=", "array_above_max_length"),
    (r"Expected str of length <=", "string_above_max_length"),
    (r"Invalid (enum )?value", "invalid_value"),
    (r"Expected ", "invalid_type"),
    (r"NUL and lone", "invalid_value"),
)
_TYPES: Final = {
    HTTPStatus.TOO_MANY_REQUESTS: "requests",
    HTTPStatus.SERVICE_UNAVAILABLE: "server_error",
    HTTPStatus.INTERNAL_SERVER_ERROR: "server_error",
}
_STATUS_CODES: Final = {
    HTTPStatus.UNAUTHORIZED: "invalid_api_key",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_supported",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_exceeded",
}

Input = Annotated[str, Meta(max_length=TEXT)]


class TextPart(Struct, tag_field="type", tag="text", frozen=True):
    """A text among content parts."""

    text: Input


class ImageLink(Struct, frozen=True):
    """Where an image is, or the image itself as a data URL."""

    url: str


class ImagePart(Struct, tag_field="type", tag="image_url", frozen=True):
    """An image among content parts; refused, as no model here sees."""

    image_url: ImageLink


class ModerationRequest(Struct, frozen=True):
    """`input` is a text, texts, or the content parts of one message, which are judged as one text."""

    input: Input | Annotated[list[Input | TextPart | ImagePart], Meta(min_length=1, max_length=limits.BATCH)]
    model: str | None = None


class ModerationResult(Struct, frozen=True):
    """What was found in one input: the policy's verdict, and by category whether it is over its threshold."""

    flagged: bool
    categories: dict[str, bool | None]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Literal["text"]]]


class Moderations(Struct, frozen=True):
    """One result an input, in order; `model` is the version of the model that judged."""

    id: str
    model: str
    results: list[ModerationResult]


class OpenAIErrorBody(Struct, frozen=True):
    """What is wrong: `param` is the field, `code` the kind."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorDetails(Struct, frozen=True):
    """OpenAI's shape of an error."""

    error: OpenAIErrorBody


def write_error(problem: ProblemError) -> tuple[int, bytes]:
    """A problem in OpenAI's shape."""
    details = problem.details
    status = HTTPStatus(details.status)
    quota = problem.reason == "quota"
    code: str | None = "insufficient_quota" if quota else problem.reason or _STATUS_CODES.get(status)
    if code == "key_missing":
        code = None
    if code is None and status == HTTPStatus.BAD_REQUEST:
        code = next((each for pattern, each in _CODES if re.match(pattern, details.detail)), None)
    kind = "insufficient_quota" if quota else _TYPES.get(status, "invalid_request_error")
    body = OpenAIErrorBody(details.detail, kind, details.field or None, code)
    return status, msgspec.json.encode(OpenAIErrorDetails(body))


DIALECT: Final = Dialect(OpenAIErrorDetails, "application/json", write_error)

MODERATIONS: Final[Contract[ModerationRequest, Any]] = Contract(
    summary="OpenAI's moderation endpoint, answered here.",
    detail="For the official clients with another base URL. Audited like `/run`.",
    needs=Role.CLIENT,
    body=ModerationRequest,
    limit=limits.BATCH_BODY,
    answer=Moderations,
    problems=(HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE),
    example=examples.MODERATIONS,
    answered=examples.MODERATIONS_ANSWERED,
    tag="compatible",
    dialect=DIALECT,
)


@post("/v1/moderations", opt={OPT: MODERATIONS})
async def moderations(request: Request[Any, Any, Any]) -> ASGIApp:
    """Judges texts."""
    services, caller = services_of(request), caller_of(request)
    body = await MODERATIONS.read(request)
    version = services.app.moderator.cascade.version
    if body.model is not None and body.model not in {*MODELS, version}:
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            f"The model {body.model!r} does not exist here; there are {', '.join(MODELS)}.",
            field="model",
            reason="model_not_found",
        )
    identifier = f"modr-{secrets.token_hex(12)}"
    messages = [Message(f"{identifier}-{index}", text, caller.id) for index, text in enumerate(texts_of(body.input))]
    records = await judged(services, caller, messages)
    results = [result_of(record, services.app.moderator.policy.reached(record.message, record.decision.assessment))
               for record in records]  # fmt: skip
    answer = msgspec.json.encode(Moderations(identifier, version, results))
    return Reply(answer, headers=(*HEADERS, (b"x-request-id", f"req_{identifier[5:]}".encode())))


def texts_of(given: "str | list[str | TextPart | ImagePart]") -> list[str]:
    """The texts to judge.

    Raises:
        ProblemError: 400 for an image, or for texts among parts.
    """
    if isinstance(given, str):
        return [given]
    if all(isinstance(each, str) for each in given):
        return [each for each in given if isinstance(each, str)]
    parts = []
    for index, each in enumerate(given):
        match each:
            case TextPart():
                parts.append(each.text)
            case ImagePart():
                raise ProblemError(
                    HTTPStatus.BAD_REQUEST,
                    "Images are not judged here: send the text parts only.",
                    field=f"input[{index}]",
                    reason="image_not_supported",
                )
            case _:
                raise ProblemError(
                    HTTPStatus.BAD_REQUEST,
                    "Expected `object`, got `str`: texts and content parts do not mix.",
                    field=f"input[{index}]",
                    reason="invalid_type",
                )
    if len(parts) > PARTS:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, f"Expected array of length <= {PARTS} for content parts.", field="input"
        )
    return ["\n".join(parts)]


def result_of(record: Record, reached: frozenset[str]) -> ModerationResult:
    """A record in OpenAI's terms; `reached` are the labels at or above their thresholds."""
    flagged = record.decision.verdict is not Verdict.ALLOW
    scores = category_scores(record.decision.assessment)
    return ModerationResult(
        flagged=flagged,
        categories={name: _category(name, reached if flagged else frozenset()) for name in EVIDENCE},
        category_scores=scores,
        category_applied_input_types={name: ["text"] if _labels(name) else [] for name in EVIDENCE},
    )


def category_scores(assessment: Assessment) -> dict[str, float]:
    """OpenAI's 13 categories, each 0 to 1; 0 where there is no evidence."""
    scores = assessment.scores
    found = {name: max((scores.get(label, 0.0) for label in labels), default=0.0) for name, labels in EVIDENCE.items()}
    return found | {name: min(scores.get(label, 0.0) for label in labels) for name, labels in BOTH.items()}


def _labels(name: str) -> tuple[str, ...]:
    return BOTH.get(name) or EVIDENCE[name]


def _category(name: str, reached: frozenset[str]) -> bool | None:
    if name in NULLABLE:
        return None
    hit = [label in reached for label in _labels(name)]
    return all(hit) and bool(hit) if name in BOTH else any(hit)
