"""Signed webhooks in: `POST /webhooks/generic`, and those of platforms at `POST /webhooks/NAME`.

The signature is checked before anything of the body is understood.
"""

from http import HTTPStatus
from typing import Any, Final

from litestar import Request, post
from litestar.types import ASGIApp

from chat_moderator.errors import PermanentError, RefusedError
from chat_moderator.gateway import examples, limits
from chat_moderator.gateway.bodies import decode, read_body
from chat_moderator.gateway.contract import OPT, Contract, Reply
from chat_moderator.gateway.messages import Accepted
from chat_moderator.gateway.problems import ProblemError
from chat_moderator.gateway.services import services_of
from chat_moderator.gateway.wire import MessagesBody, messages_of
from chat_moderator.queues.embedded import EmbeddedQueue
from chat_moderator.types import WebhookCall, now

CLIENT: Final = "webhook"

GENERIC: Final[Contract[MessagesBody, Any]] = Contract(
    summary="Take in messages by a signed webhook.",
    detail=(
        "Standard Webhooks: `webhook-id`, `webhook-timestamp` (Unix seconds, five minutes either way) and "
        "`webhook-signature` (`v1,` and base64, several during a rotation). A delivery that comes again is answered "
        "202 and taken once."
    ),
    needs=None,
    body=MessagesBody,
    limit=limits.BATCH_BODY,
    answer=Accepted,
    status=HTTPStatus.ACCEPTED,
    problems=(
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    example=examples.MESSAGES,
    answered={"accepted": 1, "duplicates": 0},
    tag="webhooks",
)


@post("/webhooks/generic", opt={OPT: GENERIC})
async def receive(request: Request[Any, Any, Any]) -> ASGIApp:
    """Takes in a delivery, once."""
    services = services_of(request)
    services.webhooks.require_secrets()
    raw = await read_body(request.scope, request.receive, GENERIC.limit)
    delivery = services.webhooks.verify(dict(request.scope["headers"]), raw)
    messages = messages_of(decode(GENERIC.decoder, raw).messages, CLIENT)
    queue = services.app.queue
    if isinstance(queue, EmbeddedQueue):
        new = await queue.put(messages, delivery=delivery)
    else:  # a broker takes it again: its messages are known by their keys, and decided once
        new = await queue.put(messages)
    return GENERIC.reply(Accepted(new, len(messages) - new))


PLATFORM: Final[Contract[Any, Any]] = Contract(
    summary="Take in what a platform sends.",
    detail=(
        "For the connections of `[[sources]]` whose platform calls: Slack events, Discord interactions and their like, "
        "at the connection's name. Signature, time limit, content type and answer are the platform's own."
    ),
    needs=None,
    limit=limits.BODY,
    problems=(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    tag="webhooks",
)


@post("/webhooks/{connection:str}", opt={OPT: PLATFORM})
async def receive_platform(request: Request[Any, Any, Any]) -> ASGIApp:
    """Hands a call to the source of a connection."""
    found = services_of(request).app.connections.webhook(request.path_params["connection"])
    if found is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "No connection of this name takes webhooks.")
    source, intake = found
    raw = await read_body(request.scope, request.receive, PLATFORM.limit, source.media)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]}
    try:
        answer = await source.receive(WebhookCall(headers, raw, now()), intake)
    except RefusedError as problem:
        raise ProblemError(HTTPStatus.UNAUTHORIZED, f"Refused: {problem}.") from problem
    except PermanentError as problem:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"Not understood: {problem}.") from problem
    return Reply(answer.body, answer.status, answer.media)
