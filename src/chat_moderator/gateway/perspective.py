"""Perspective's `comments:analyze` and `comments:suggestscore`, answered on this machine."""

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from litestar import Request, post
from litestar.types import ASGIApp

from chat_moderator.classifiers.perspective_scale import Scales
from chat_moderator.gateway import examples
from chat_moderator.gateway.bodies import read_body
from chat_moderator.gateway.contract import OPT, Contract, readable
from chat_moderator.gateway.judging import judged
from chat_moderator.gateway.perspective_wire import (
    DIALECT,
    SCORE_TYPES,
    AnalyzeRequest,
    AnalyzeResponse,
    AttributeScores,
    PerspectiveError,
    Score,
    SpanScore,
    SuggestRequest,
    SuggestResponse,
    TextEntry,
    read_leniently,
)
from chat_moderator.gateway.services import Services, caller_of, services_of
from chat_moderator.store.labels import Label, SuggestLabel
from chat_moderator.text.language import SCORED, detect, primary
from chat_moderator.text.sentences import sentences, utf16_length
from chat_moderator.types import Assessment, Message, Role

LONGEST: Final = 20_480
"""Bytes of a comment in UTF-8, as Google has it."""

BODY: Final = 2 * 1024 * 1024
"""A context entry alone may have a megabyte."""

LONG: Final = 2_000
"""Characters of a text above which its scale is worked out beside the event loop."""

_PRODUCTION: Final = {
    "TOXICITY": "toxicity",
    "SEVERE_TOXICITY": "severe_toxicity",
    "IDENTITY_ATTACK": "identity_attack",
    "INSULT": "insult",
    "PROFANITY": "obscene",
    "THREAT": "threat",
}
ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **_PRODUCTION,
        **{f"{name}_EXPERIMENTAL": label for name, label in _PRODUCTION.items()},
        "TOXICITY_FAST": "toxicity",
        "SEXUALLY_EXPLICIT": "sexual_explicit",
        "OBSCENE": "obscene",
        "SPAM": "spam",
    }
)
"""Our label by Perspective's attribute."""

_OFFERED: Final = ", ".join(name for name in ATTRIBUTES if not name.endswith("_EXPERIMENTAL"))
_NAME: Final = re.compile(r"([A-Z_]{1,64})(?:@(\d{1,6}))?")

_SCHEMAS: Final = (
    "AnalyzeCommentRequest",
    "AnalyzeCommentResponse",
    "SuggestCommentScoreRequest",
    "SuggestCommentScoreResponse",
)

ANALYZE: Final[Contract[AnalyzeRequest, Any]] = Contract(
    summary="Perspective's AnalyzeComment, answered here.",
    detail="For clients of the Perspective API with another base URL. With `doNotStore` the audit keeps no text.",
    needs=Role.CLIENT,
    body=AnalyzeRequest,
    limit=BODY,
    answer=AnalyzeResponse,
    problems=(HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE),
    example=examples.ANALYZE,
    answered=examples.ANALYZED,
    tag="compatible",
    dialect=DIALECT,
    key_in_query=True,
)
SUGGEST: Final[Contract[SuggestRequest, Any]] = Contract(
    summary="Perspective's SuggestCommentScore: keeps a label for the next training.",
    needs=Role.CLIENT,
    body=SuggestRequest,
    limit=BODY,
    answer=SuggestResponse,
    problems=(HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE),
    example=examples.SUGGEST,
    answered=examples.SUGGESTED,
    tag="compatible",
    dialect=DIALECT,
    key_in_query=True,
)
DISCOVERY: Final[Contract[Any, Any]] = Contract(
    summary="The discovery document that Google's client libraries ask for.", needs=None, tag="compatible"
)


@post("/v1alpha1/comments:analyze", opt={OPT: ANALYZE})
async def analyze(request: Request[Any, Any, Any]) -> ASGIApp:
    """Scores a comment."""
    services, caller = services_of(request), caller_of(request)
    body: AnalyzeRequest = read_leniently(ANALYZE.decoder, await read_body(request.scope, request.receive, BODY))
    text = checked(body.comment)
    wanted = _wanted(body, services)
    given = tuple(dict.fromkeys(body.languages))
    detected = detect(text)
    languages = given or detected[:1]
    if not languages:
        raise PerspectiveError("LANGUAGE_DETECTION_FAILED", "The language of the comment could not be detected.")
    if unsupported := [tag for tag in languages if primary(tag) not in SCORED]:
        if not body.drop_unsupported_attributes:
            raise _unsupported(next(iter(wanted)), unsupported)
        wanted = {}
    message = Message(
        f"psv-{secrets.token_hex(12)}", text, caller.id, community=body.community_id, language=languages[0]
    )
    (record,) = await judged(services, caller, [message], keep_text=not body.do_not_store)
    parts = sentences(text) if body.span_annotations else []
    texts, assessments = [text], [record.decision.assessment]
    if len(parts) > 1:
        texts += [text[start:end] for start, end in parts]
        decisions = await services.app.moderator.moderate([Message("", part) for part in texts[1:]])
        assessments += [decision.assessment for decision in decisions]
    else:
        parts = [(0, len(text))]
    scores = {}
    for name, (label, version) in wanted.items():
        values = await _values(services.scales, label, version, texts, assessments)
        if values[0] >= body.requested_attributes[name].score_threshold:
            scores[name] = _scores(text, parts, values)
    return ANALYZE.reply(AnalyzeResponse(scores, languages, detected, body.client_token))


@post("/v1alpha1/comments:suggestscore", opt={OPT: SUGGEST})
async def suggest(request: Request[Any, Any, Any]) -> ASGIApp:
    """Keeps what somebody suggests."""
    services, caller = services_of(request), caller_of(request)
    body: SuggestRequest = read_leniently(SUGGEST.decoder, await read_body(request.scope, request.receive, BODY))
    text = checked(body.comment)
    if not body.attribute_scores:
        raise PerspectiveError("NO_REQUESTED_ATTRIBUTES", "No attribute scores were suggested.")
    suggested = {}
    for name, scores in body.attribute_scores.items():
        ours, _ = _attribute(name, services)
        if scores.summary_score is not None:
            suggested[ours] = scores.summary_score.value
    detected = detect(text)
    languages = tuple(dict.fromkeys(body.languages))
    if suggested:
        label = Label(
            text,
            suggested,
            caller.id,
            body.community_id,
            body.client_token,
            (languages or detected or ("",))[0],
        )
        await services.app.store.execute(SuggestLabel(label=label))
    return SUGGEST.reply(SuggestResponse(body.client_token, languages, detected))


@readable("/$discovery/rest", DISCOVERY)
async def discovery(request: Request[Any, Any, Any]) -> ASGIApp:
    """Describes both methods to Google's client libraries."""
    return DISCOVERY.reply(discovery_document(str(request.base_url)))


def checked(comment: TextEntry) -> str:
    """The comment's text.

    Raises:
        PerspectiveError: it is empty, too long, or not plain text.
    """
    if comment.type not in {"", "PLAIN_TEXT", "TEXT_TYPE_UNSPECIFIED"}:
        raise PerspectiveError("INVALID_REQUEST", "comment.type: only PLAIN_TEXT is supported.")
    if not comment.text.strip():
        raise PerspectiveError("COMMENT_EMPTY", "Comment must be non-empty.")
    if len(comment.text.encode()) > LONGEST:
        raise PerspectiveError("COMMENT_TOO_LONG", f"Comment text is too long: at most {LONGEST} bytes are allowed.")
    return comment.text


def discovery_document(root: str) -> dict[str, Any]:
    """A Google API discovery document for the two methods under `root`."""

    def method(name: str, request: str, response: str) -> dict[str, Any]:
        return {
            "id": f"commentanalyzer.comments.{name}",
            "path": f"v1alpha1/comments:{name}",
            "flatPath": f"v1alpha1/comments:{name}",
            "httpMethod": "POST",
            "parameters": {},
            "parameterOrder": [],
            "request": {"$ref": request},
            "response": {"$ref": response},
        }

    return {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": "commentanalyzer:v1alpha1",
        "name": "commentanalyzer",
        "version": "v1alpha1",
        "title": "Perspective Comment Analyzer API",
        "protocol": "rest",
        "rootUrl": f"{root.rstrip('/')}/",
        "servicePath": "",
        "baseUrl": f"{root.rstrip('/')}/",
        "batchPath": "batch",
        "parameters": {
            "key": {"type": "string", "location": "query"},
            "alt": {"type": "string", "location": "query", "default": "json"},
            "prettyPrint": {"type": "boolean", "location": "query", "default": "true"},
            "fields": {"type": "string", "location": "query"},
            "quotaUser": {"type": "string", "location": "query"},
        },
        "schemas": {name: {"id": name, "type": "object", "properties": {}} for name in _SCHEMAS},
        "resources": {
            "comments": {
                "methods": {
                    "analyze": method("analyze", "AnalyzeCommentRequest", "AnalyzeCommentResponse"),
                    "suggestscore": method("suggestscore", "SuggestCommentScoreRequest", "SuggestCommentScoreResponse"),
                }
            }
        },
    }


def _wanted(body: AnalyzeRequest, services: Services) -> dict[str, tuple[str, int]]:
    if not body.requested_attributes:
        raise PerspectiveError("NO_REQUESTED_ATTRIBUTES", "No requested attributes were specified.")
    wanted = {}
    for name, parameters in body.requested_attributes.items():
        if parameters.score_type and parameters.score_type not in SCORE_TYPES:
            raise PerspectiveError(
                "INVALID_REQUEST", f"Attribute {name} does not support score type {parameters.score_type}."
            )
        wanted[name] = _attribute(name, services)
    return wanted


def _attribute(name: str, services: Services) -> tuple[str, int]:
    """Our label, and the version of its scale, for an attribute such as TOXICITY or TOXICITY@1."""
    found = _NAME.fullmatch(name)
    label = ATTRIBUTES.get(found[1]) if found else None
    if found is None or label is None:
        raise PerspectiveError(
            "INVALID_REQUEST", f"Unknown requested attribute: {name[:80]}. Here there are {_OFFERED}."
        )
    latest = services.scales.latest
    version = latest if found[2] is None else int(found[2])
    if version not in {0, latest}:
        offered = ", ".join(f"{found[1]}@{each}" for each in sorted({0, latest}))
        raise PerspectiveError("INVALID_REQUEST", f"Unknown requested attribute: {name}. Here there are {offered}.")
    return label, version


def _unsupported(attribute: str, languages: Sequence[str]) -> PerspectiveError:
    return PerspectiveError(
        "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
        f"Attribute {attribute} does not support request languages: {', '.join(languages)}",
        languageNotSupportedByAttributeError={"detectedLanguages": list(languages), "attribute": attribute},
    )


async def _values(
    scales: Scales, label: str, version: int, texts: Sequence[str], assessments: Sequence[Assessment]
) -> list[float]:
    """The scores of the comment and then of its sentences; long texts are read beside the event loop."""
    if sum(map(len, texts)) <= LONG:
        return scales.values(label, version, texts, assessments)
    return await asyncio.to_thread(scales.values, label, version, texts, assessments)


def _scores(text: str, parts: Sequence[tuple[int, int]], values: Sequence[float]) -> AttributeScores:
    """The summary's score and the spans', whose places are in UTF-16 code units."""
    own = values[1:] or values
    spans, at, place = [], 0, 0
    for (start, end), value in zip(parts, own, strict=True):
        begin = place + utf16_length(text[at:start])
        at, place = end, begin + utf16_length(text[start:end])
        spans.append(SpanScore(begin, place, Score(value)))
    return AttributeScores(spans, Score(values[0]))
