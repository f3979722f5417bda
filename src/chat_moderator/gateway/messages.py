"""Takes in messages that are judged in a moment: `POST /v1/messages`."""

from http import HTTPStatus
from typing import Any, Final

from litestar import Request, post
from litestar.types import ASGIApp

from chat_moderator.gateway import examples, limits
from chat_moderator.gateway.contract import OPT, Contract
from chat_moderator.gateway.services import caller_of, services_of
from chat_moderator.gateway.tickets import messages_from
from chat_moderator.gateway.wire import MessagesBody
from chat_moderator.types import Role, Struct


class Accepted(Struct, frozen=True):
    """`accepted` are on disk now and will be judged; `duplicates` were accepted before."""

    accepted: int
    duplicates: int


MESSAGES: Final[Contract[MessagesBody, Any]] = Contract(
    summary="Take in messages, to be judged in a moment.",
    detail=(
        "202 says that all of them are on disk. A message is known by (client, platform, channel, id, revision): the "
        "same again is a duplicate, another text under the same key refuses the batch. Decisions come by "
        "`GET /v1/decisions`, `/v1/stream` and the webhook sink."
    ),
    needs=Role.CLIENT,
    tickets=True,
    body=MessagesBody,
    limit=limits.BATCH_BODY,
    answer=Accepted,
    status=HTTPStatus.ACCEPTED,
    problems=(HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE),
    example=examples.MESSAGES,
    answered={"accepted": 1, "duplicates": 0},
)


@post("/v1/messages", opt={OPT: MESSAGES})
async def accept(request: Request[Any, Any, Any]) -> ASGIApp:
    """Takes in messages."""
    body = await MESSAGES.read(request)
    services, caller = services_of(request), caller_of(request)
    messages = messages_from(caller, body.messages)
    await services.usage.take(caller, len(messages))
    new = await services.app.queue.put(messages)
    return MESSAGES.reply(Accepted(new, len(messages) - new))
