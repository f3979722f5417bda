"""Messages that were given up: `/v1/dead-letters`."""

from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from litestar import Request, post
from litestar.types import ASGIApp
from msgspec import Meta

from chat_moderator.gateway import examples
from chat_moderator.gateway.contract import OPT, Contract, readable
from chat_moderator.gateway.limits import BATCH, Number, PageSize
from chat_moderator.gateway.services import services_of
from chat_moderator.store.dead_letters import DeadLetter, DropDeadLetters, ListDeadLetters, RetryDeadLetters
from chat_moderator.types import Role, Struct


class DeadLettersQuery(Struct, frozen=True):
    """`after`: the last `next`."""

    after: Number = 0
    limit: PageSize = 100


class DeadLetters(Struct, frozen=True):
    """Dead letters, oldest first; `next` is the `after` of the next page."""

    dead_letters: list[DeadLetter]
    next: int


class Chosen(Struct, frozen=True):
    """Which dead letters: their ids, or `all`."""

    ids: Annotated[list[Number], Meta(min_length=1, max_length=BATCH)] | Literal["all"]


class Count(Struct, frozen=True):
    """How many there were."""

    count: int


LIST: Final[Contract[Any, DeadLettersQuery]] = Contract(
    summary="List dead letters.",
    needs=Role.ADMIN,
    query=DeadLettersQuery,
    answer=DeadLetters,
    answered={
        "dead_letters": [
            {
                "id": 3,
                "at": "2026-02-01T18:30:00Z",
                "reason": "ValueError: …",
                "attempts": 5,
                "message": examples.MESSAGES["messages"][0],
            }
        ],
        "next": 3,
    },
    tag="dead letters",
)
RETRY: Final[Contract[Chosen, Any]] = Contract(
    summary="Put dead letters back into the queue.",
    needs=Role.ADMIN,
    body=Chosen,
    answer=Count,
    problems=(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
    example={"ids": [3]},
    answered={"count": 1},
    tag="dead letters",
)
DROP: Final[Contract[Chosen, Any]] = Contract(
    summary="Delete dead letters.",
    needs=Role.ADMIN,
    body=Chosen,
    answer=Count,
    problems=(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
    example={"ids": "all"},
    answered={"count": 1},
    tag="dead letters",
)


@readable("/v1/dead-letters", LIST)
async def list_dead_letters(request: Request[Any, Any, Any]) -> ASGIApp:
    """Lists dead letters."""
    query = LIST.ask(request.query_params)
    found = await services_of(request).app.store.ask(ListDeadLetters(after=query.after, limit=query.limit))
    return LIST.reply(DeadLetters(found, found[-1].id if found else query.after))


@post("/v1/dead-letters/retry", opt={OPT: RETRY})
async def retry_dead_letters(request: Request[Any, Any, Any]) -> ASGIApp:
    """Puts dead letters back."""
    command = RetryDeadLetters(ids=_ids(await RETRY.read(request)))
    return RETRY.reply(Count(await services_of(request).app.store.execute(command)))


@post("/v1/dead-letters/drop", opt={OPT: DROP})
async def drop_dead_letters(request: Request[Any, Any, Any]) -> ASGIApp:
    """Deletes dead letters."""
    command = DropDeadLetters(ids=_ids(await DROP.read(request)))
    return DROP.reply(Count(await services_of(request).app.store.execute(command)))


def _ids(chosen: Chosen) -> tuple[int, ...]:
    return () if chosen.ids == "all" else tuple(chosen.ids)
