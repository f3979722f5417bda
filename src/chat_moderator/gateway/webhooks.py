"""Signed webhooks in: `POST /webhooks/generic`. The signature is checked before anything of the body is understood."""

from http import HTTPStatus
from typing import Any, Final

from litestar import Request, post
from litestar.types import ASGIApp

from chat_moderator.gateway import examples, limits
from chat_moderator.gateway.bodies import decode, read_body
from chat_moderator.gateway.contract import OPT, Contract
from chat_moderator.gateway.messages import Accepted
from chat_moderator.gateway.services import services_of
from chat_moderator.gateway.wire import MessagesBody, messages_of
from chat_moderator.queues.embedded import EmbeddedQueue

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
    else:  # other queues know the messages again, not the delivery
        new = await queue.put(messages)
    return GENERIC.reply(Accepted(new, len(messages) - new))
