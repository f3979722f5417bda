"""Bodies and queries: read within limits, decoded by their types, every refusal naming its field.

The depth of JSON is bounded by the types: decoding stops at the first value that is not what its place asks for, so
that nothing nests deeper than the types do, and nothing recurses with the input.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from litestar.types import Receive, Scope

from chat_moderator.gateway import limits
from chat_moderator.gateway.problems import ProblemError

T = TypeVar("T")

JSON: Final = ("application/json",)

_PLACED: Final = re.compile(r"(?P<what>.*?)(?: - at `(?P<root>\$|key)(?P<path>[^`]*)`)?", re.DOTALL)
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_NAMED: Final = re.compile(r"Object (missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)


async def read_body(scope: Scope, receive: Receive, limit: int, media: Sequence[str] = JSON) -> bytes:
    """The raw body of a request of one of the content types in `media`, at most `limit` bytes.

    Raises:
        ProblemError: 408, 413 or 415.
    """
    headers = dict(scope["headers"])
    given = headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
    if given not in media:
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The content type {' or '.join(media)} is needed.")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Bodies are not taken compressed.")
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length[:20]) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(limits.BODY_TIMEOUT):
            return await _collect(receive, limit)
    except TimeoutError as late:
        raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.") from late


def decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """The typed value of a JSON text.

    Raises:
        ProblemError: 400, naming the field.
    """
    try:
        value = decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(raw, error) from error
    refuse_unstorable(raw)
    return value


def refuse_unstorable(raw: bytes) -> None:
    """Refuses a JSON text that was understood and holds a NUL, which no store takes.

    Raises:
        ProblemError: 400, naming the field.
    """
    if b"\\u0000" in raw and (place := _unstorable(raw)) is not None:
        raise _refused_character(place)


def convert_query(values: dict[str, str], kind: type[T]) -> T:
    """The typed parameters of a query.

    Raises:
        ProblemError: 400, naming the parameter.
    """
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from error


def invalid(error: msgspec.ValidationError) -> ProblemError:
    """A value of the wrong type, length or name, with its path."""
    found = _PLACED.fullmatch(str(error))
    what, path = (found["what"], found["path"] or "") if found else (str(error), "")
    if named := _NAMED.fullmatch(what):
        path += f".{named['name']}"
    return ProblemError(HTTPStatus.BAD_REQUEST, f"{what.replace('`', '')}.", field=path.lstrip("."))


async def _collect(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] != "http.request":
            raise ProblemError(HTTPStatus.BAD_REQUEST, "The body ended before it was complete.")
        parts.append(event["body"])
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not event.get("more_body"):
            return b"".join(parts)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {limit // 1024} KB are taken here at once.")


def _malformed(raw: bytes, error: Exception) -> ProblemError:
    match error:
        case RecursionError():
            return ProblemError(HTTPStatus.BAD_REQUEST, "The JSON is nested too deeply.")
        case UnicodeDecodeError():
            return ProblemError(HTTPStatus.BAD_REQUEST, "The body is not UTF-8.")
    place = _unstorable(raw)
    if place is not None:
        return _refused_character(place)
    return ProblemError(HTTPStatus.BAD_REQUEST, f"{error}.")


def _refused_character(place: str) -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, "NUL and lone surrogates are not taken in a text.", field=place)


def _unstorable(raw: bytes) -> str | None:
    """Where the first string with a NUL or a lone surrogate is; None where there is none. Only for what is refused."""
    try:
        pending: list[tuple[str, Any]] = [("", json.loads(raw))]
    except (ValueError, RecursionError):
        return None
    while pending:
        path, value = pending.pop()
        match value:
            case str() if _UNSTORABLE.search(value):
                return path
            case list():
                pending += [(f"{path}[{index}]", inner) for index, inner in enumerate(value)][::-1]
            case dict():
                pending += [(f"{path}.{key}".lstrip("."), inner) for key, inner in value.items()][::-1]
    return None
