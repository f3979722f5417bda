"""Answers at once: `POST /run`, and `POST /v1/moderate` with every detail."""

from http import HTTPStatus
from typing import Any, Final

from litestar import Request, post
from litestar.types import ASGIApp

from chat_moderator.gateway import examples, limits
from chat_moderator.gateway.contract import OPT, Contract
from chat_moderator.gateway.judging import judged
from chat_moderator.gateway.services import caller_of, services_of
from chat_moderator.gateway.tickets import messages_from
from chat_moderator.gateway.wire import (
    BriefMessages,
    BriefResults,
    MessagesBody,
    Results,
    brief_result,
    result_of,
)
from chat_moderator.types import Message, Role

RUN: Final[Contract[BriefMessages, Any]] = Contract(
    summary="Judge texts and answer at once.",
    detail="The answer leaves after its audit rows are committed. An id only correlates: it may come again.",
    needs=Role.CLIENT,
    body=BriefMessages,
    limit=limits.BATCH_BODY,
    answer=BriefResults,
    problems=(HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE),
    example=examples.RUN,
    answered=examples.RAN,
)
MODERATE: Final[Contract[MessagesBody, Any]] = Contract(
    summary="Judge messages with all that is known of them, and answer at once.",
    detail="Like `/run`; community, channel, author and language may change what the policy decides.",
    needs=Role.CLIENT,
    tickets=True,
    body=MessagesBody,
    limit=limits.BATCH_BODY,
    answer=Results,
    problems=(HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE),
    example=examples.MESSAGES,
    answered=examples.MODERATED,
)


@post("/run", opt={OPT: RUN})
async def run(request: Request[Any, Any, Any]) -> ASGIApp:
    """Judges texts."""
    services, caller = services_of(request), caller_of(request)
    body = await RUN.read(request)
    records = await judged(services, caller, [Message(each.id, each.text, caller.id) for each in body.messages])
    return RUN.reply(BriefResults([brief_result(record) for record in records], services.experimental))


@post("/v1/moderate", opt={OPT: MODERATE})
async def moderate(request: Request[Any, Any, Any]) -> ASGIApp:
    """Judges messages."""
    services, caller = services_of(request), caller_of(request)
    body = await MODERATE.read(request)
    records = await judged(services, caller, messages_from(caller, body.messages))
    return MODERATE.reply(Results([result_of(record) for record in records], services.experimental))
