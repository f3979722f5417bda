"""The decision feed: `GET /v1/decisions`, page by page, waiting for the next where asked."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any, Final

from litestar import Request
from litestar.types import ASGIApp
from msgspec import Meta

from chat_moderator.gateway import examples
from chat_moderator.gateway.auth import Caller
from chat_moderator.gateway.contract import Contract, readable
from chat_moderator.gateway.limits import Name, Number, PageSize
from chat_moderator.gateway.problems import ProblemError
from chat_moderator.gateway.services import Services, caller_of, services_of
from chat_moderator.gateway.wire import Result, result_of
from chat_moderator.store.audit import LastSeq, RecordsAfter
from chat_moderator.types import Record, Role, Struct

EVERYONE: Final = "*"
PAUSE: Final = 0.02
"""Seconds between two looks, so that a flood of commits is read in pages."""


class DecisionsQuery(Struct, frozen=True):
    """`after`: the last `next`; `wait`: seconds to wait for the first; `client`: another key's, or `*`, for admins."""

    after: Number = 0
    limit: PageSize = 100
    wait: Annotated[float, Meta(ge=0, le=30)] = 0.0
    client: Name = ""


class Decisions(Struct, frozen=True):
    """Decisions in the order of their commits; `next` is the `after` of the next page."""

    decisions: list[Result]
    next: int


DECISIONS: Final[Contract[Any, DecisionsQuery]] = Contract(
    summary="Read decisions in order, from a place on.",
    needs=Role.CLIENT,
    query=DecisionsQuery,
    answer=Decisions,
    problems=(HTTPStatus.NOT_FOUND,),
    answered={"decisions": examples.MODERATED["results"], "next": 7},
)


@readable("/v1/decisions", DECISIONS)
async def decisions(request: Request[Any, Any, Any]) -> ASGIApp:
    """Reads a page."""
    query = DECISIONS.ask(request.query_params)
    client = client_of(caller_of(request), query.client)
    feed = Feed(services_of(request), client, query.after)
    records = await feed.page(query.limit, wait=query.wait)
    return DECISIONS.reply(Decisions([result_of(record) for record in records], feed.after))


class Feed:
    """Reads the records of one client, or of all, from a place on.

    Attributes:
        after: everything up to here was read.
    """

    def __init__(self, services: Services, client: str | None, after: int) -> None:
        self._services = services
        self._client = client
        self.after = after

    async def page(self, limit: int, *, wait: float) -> list[Record]:
        """At most `limit` records; none when none came within `wait` seconds or the server stops."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        with self._services.app.signal.subscribe() as committed:
            while True:
                committed.clear()
                records = await self._read(limit)
                left = deadline - loop.time()
                if records or left <= 0 or self._services.draining:
                    return records
                try:
                    await asyncio.wait_for(committed.wait(), left)
                except TimeoutError:
                    return []
                await asyncio.sleep(min(PAUSE, left))

    async def skip(self) -> None:
        """Goes on from the newest record."""
        self.after = await self._services.app.store.ask(LastSeq())

    async def _read(self, limit: int) -> list[Record]:
        store = self._services.app.store
        last = await store.ask(LastSeq())
        records = await store.ask(RecordsAfter(seq=self.after, limit=limit, client=self._client))
        # A page that is not full has passed over all that other clients have up to the last place.
        self.after = records[-1].seq if len(records) == limit else max(self.after, last, *(r.seq for r in records))
        return records


def client_of(caller: Caller, asked: str) -> str | None:
    """Whose decisions a caller reads; None for everyone's.

    Raises:
        ProblemError: 404, another client's are not the caller's to see.
    """
    if not asked or asked == caller.id:
        return caller.id
    if not caller.role.may(Role.ADMIN):
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no such client for this key.", field="client")
    return None if asked == EVERYONE else asked
