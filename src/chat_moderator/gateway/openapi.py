"""The OpenAPI 3.1 document, made of the routes' contracts; `/schema` serves it, `/docs` shows it."""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.routes import BaseRoute, HTTPRoute
from msgspec import json

from chat_moderator.gateway.contract import Contract, contract_of
from chat_moderator.gateway.problems import MEDIA, PROBLEM_DETAILS, Dialect, ProblemDetails, ProblemError

VERSION: Final = "1"
SECURITY: Final = "key"
IN_QUERY: Final = "keyInQuery"
REF: Final = "#/components/schemas/{name}"

_PROBLEM: Final = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "Expected str of length <= 20000.",
    "field": "messages[3].text",
}
_INTRODUCTION: Final = """\
Chat moderation: messages in, verdicts out.

Every route but the public ones takes `Authorization: Bearer <token>`. While the server has no key at all, it answers
this machine only, and takes any token. Whatever goes wrong is answered as `application/problem+json` (RFC 9457), with
the field where there is one; the compatible routes speak as what they stand in for. `/v1/stream` and
`/v1/chat/{room}` are WebSockets and not described here.
"""


def document(routes: Iterable[BaseRoute], root: str = "") -> dict[str, Any]:
    """The document.

    Args:
        routes: of the gateway.
        root: the prefix that a proxy puts before every path.
    """
    declared = sorted(_declared(routes), key=lambda each: (each[0], each[1]))
    types = [
        ProblemDetails,
        *(each for _, _, contract in declared for each in (contract.body, contract.answer) if each),
        *(contract.dialect.details for _, _, contract in declared),
    ]
    _, components = msgspec.json.schema_components(types, ref_template=REF)
    paths: dict[str, dict[str, Any]] = {}
    for path, method, contract in declared:
        paths.setdefault(path, {})[method] = _operation(path, method, contract)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "chat-moderator",
            "version": VERSION,
            "description": _INTRODUCTION,
            "license": {"name": "MIT"},
        },
        "servers": [{"url": root or "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                SECURITY: {"type": "http", "scheme": "bearer"},
                IN_QUERY: {"type": "apiKey", "in": "query", "name": "key"},
            },
        },
    }


def _declared(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, Contract[Any, Any]]]:
    for route in routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            contract = contract_of(handler) if isinstance(handler, HTTPRouteHandler) else None
            if contract is None:
                continue
            path = re.sub(r":\w+\}", "}", route.path)
            yield from ((path, method.lower(), contract) for method in handler.http_methods if method != "HEAD")


def _operation(path: str, method: str, contract: Contract[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method}{path}").strip("_"),
        "summary": contract.summary,
        "tags": [contract.tag],
        "responses": _responses(path, contract),
    }
    if contract.detail:
        operation["description"] = contract.detail
    if contract.needs is not None:
        operation["security"] = [{SECURITY: []}, *([{IN_QUERY: []}] if contract.key_in_query else [])]
        operation["x-role"] = contract.needs.value
    parameters = [*_path_parameters(path), *_query_parameters(contract)]
    if parameters:
        operation["parameters"] = parameters
    if contract.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": _content(contract.body, contract.example)},
        }
    return operation


def _responses(path: str, contract: Contract[Any, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(contract.status).phrase}
    if contract.answer is not None:
        success["content"] = {contract.media: _content(contract.answer, contract.answered)}
    elif contract.status == HTTPStatus.OK:
        success["content"] = {contract.media: {"schema": {"type": "string"}}}
    problems = {HTTPStatus.FORBIDDEN, *contract.problems}
    if contract.needs is not None:
        problems.add(HTTPStatus.UNAUTHORIZED)
    if contract.body is not None:
        problems |= {
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        }
    if contract.query is not None:
        problems.add(HTTPStatus.BAD_REQUEST)
    if "{" in path:
        problems.add(HTTPStatus.NOT_FOUND)
    refused = {str(int(status)): _problem(HTTPStatus(status), contract.dialect) for status in sorted(problems)}
    return {str(int(contract.status)): success} | refused


def _problem(status: HTTPStatus, dialect: Dialect) -> dict[str, Any]:
    if dialect is not PROBLEM_DETAILS:
        _, body = dialect.write(ProblemError(status, f"{status.description or status.phrase}."))
        return {"description": status.phrase, "content": {dialect.media: _content(dialect.details, json.decode(body))}}
    example = (
        _PROBLEM if status == HTTPStatus.BAD_REQUEST else _PROBLEM | {"status": int(status), "title": status.phrase}
    )
    if status != HTTPStatus.BAD_REQUEST:
        example = {key: value for key, value in example.items() if key != "field"} | {
            "detail": f"{status.description}."
        }
    return {"description": status.phrase, "content": {MEDIA: _content(ProblemDetails, example)}}


def _content(kind: type[Any], example: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": REF.format(name=kind.__name__)}}
    return content if example is None else content | {"example": example}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(contract: Contract[Any, Any]) -> list[dict[str, Any]]:
    if contract.query is None:
        return []
    (schema,), components = msgspec.json.schema_components([contract.query], ref_template=REF)
    name = schema["$ref"].rpartition("/")[2]
    return [
        {"name": each, "in": "query", "required": False, "schema": _inlined(described, components)}
        for each, described in components[name]["properties"].items()
    ]


def _inlined(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """An enumeration of a query stands where it is used."""
    places = [schema, *schema.get("allOf", []), *schema.get("anyOf", [])]
    reference = next((each["$ref"] for each in places if "$ref" in each), None)
    if reference is None:
        return schema
    rest = {key: value for key, value in schema.items() if key not in {"$ref", "allOf", "anyOf"}}
    return {**components[reference.rpartition("/")[2]], **rest}
