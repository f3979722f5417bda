"""Tickets for browsers: `POST /v1/tickets` makes them, and what is handed in with one is its author's."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from litestar import Request, post
from litestar.types import ASGIApp
from msgspec import Meta
from msgspec.structs import replace

from chat_moderator.gateway import examples
from chat_moderator.gateway.auth import Caller
from chat_moderator.gateway.contract import OPT, Contract
from chat_moderator.gateway.limits import Identifier, Name
from chat_moderator.gateway.problems import ProblemError
from chat_moderator.gateway.services import caller_of, services_of
from chat_moderator.gateway.wire import MessageBody, Moment, messages_of
from chat_moderator.store.tickets import SignTicket, Ticket
from chat_moderator.types import Author, Message, Role, Struct


class TicketAuthor(Struct, omit_defaults=True, frozen=True):
    """Whose ticket it is."""

    id: Identifier
    name: Annotated[str, Meta(max_length=40)] = ""
    roles: Annotated[tuple[Name, ...], Meta(max_length=16)] = ()
    joined_at: Moment | None = None


class TicketBody(Struct, omit_defaults=True, frozen=True):
    """For whom, for which channel (any where it is empty), and for how many seconds."""

    author: TicketAuthor
    channel: Name = ""
    seconds: Annotated[int, Meta(ge=10, le=86_400)] = 300


class NewTicket(Struct, frozen=True):
    """A ticket just made; `name` is its author's."""

    ticket: str
    expires_at: datetime
    name: str


TICKETS: Final[Contract[TicketBody, Any]] = Contract(
    summary="Make a ticket, which a page may hold.",
    detail=(
        "A ticket stands for one author, for a short time: it opens `/v1/stream`, `/v1/messages`, `/v1/moderate`, "
        "`/v1/decisions` and the web chat, sees that author's decisions only, and ends with its key."
    ),
    needs=Role.CLIENT,
    body=TicketBody,
    answer=NewTicket,
    status=HTTPStatus.CREATED,
    problems=(HTTPStatus.CONFLICT,),
    example={"author": {"id": "u-17", "name": "Robin"}, "channel": "lobby", "seconds": 300},
    answered=examples.TICKET,
    tag="keys",
)


@post("/v1/tickets", opt={OPT: TICKETS})
async def create_ticket(request: Request[Any, Any, Any]) -> ASGIApp:
    """Makes a ticket."""
    body = await TICKETS.read(request)
    services, caller = services_of(request), caller_of(request)
    if not caller.token:
        raise ProblemError(
            HTTPStatus.CONFLICT, "Without any key there is nothing to sign with, and no ticket is needed."
        )
    author = Author(body.author.id, body.author.name.strip(), body.author.roles, body.author.joined_at)
    ticket = Ticket(author, time.time() + body.seconds, body.channel)
    token = await services.app.store.ask(SignTicket(key=caller.id, ticket=ticket))
    return TICKETS.reply(NewTicket(token, datetime.fromtimestamp(ticket.until, UTC), author.name))


def messages_from(caller: Caller, bodies: Sequence[MessageBody]) -> list[Message]:
    """Messages as the domain knows them; with a ticket, its author's and in its channel.

    Raises:
        ProblemError: 403, the ticket is for another channel.
    """
    messages = messages_of(bodies, caller.client)
    ticket = caller.ticket
    if ticket is None:
        return messages
    for index, message in enumerate(messages):
        if ticket.channel not in {"", message.channel}:
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                f"This ticket is for the channel {ticket.channel!r}.",
                field=f"messages[{index}].channel",
            )
    return [replace(message, author=ticket.author) for message in messages]
