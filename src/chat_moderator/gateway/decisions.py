"""The decision feed: `GET /v1/decisions`, page by page, waiting for the next where asked."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
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
from chat_moderator.store.changes import FeedPage, ReadFeed
from chat_moderator.types import Role, Struct

EVERYONE: Final = "*"
PAUSE: Final = 0.02
"""Seconds between two looks, so that a flood of commits is read in pages."""


class DecisionsQuery(Struct, frozen=True):
    """`after`: the last `next`; `wait`: seconds to wait for the first; `client`: another key's, or `*`, for admins.

    A key may also name one of its tickets' authors, as `KEY/AUTHOR`.

    `changed`: the last `changed`, 0 the first time; changes are left out without it.
    """

    after: Number = 0
    limit: PageSize = 100
    wait: Annotated[float, Meta(ge=0, le=30)] = 0.0
    client: Name = ""
    changed: Number | None = None


class Decisions(Struct, omit_defaults=True, frozen=True):
    """Decisions in the order of their commits; `next` is the `after` of the next page.

    `changes` are what moderators said later, each the whole result with its new `action`; `changed` is the next
    page's.
    """

    decisions: list[Result]
    next: int
    changes: list[Result] | None = None
    changed: int | None = None


DECISIONS: Final[Contract[Any, DecisionsQuery]] = Contract(
    summary="Read decisions in order, from a place on.",
    needs=Role.CLIENT,
    tickets=True,
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
    feed = Feed(services_of(request), client, query.after, query.changed)
    page = await feed.page(query.limit, wait=query.wait)
    found = Decisions([result_of(record) for record in page.records], page.after)
    if query.changed is not None:
        changes = [result_of(record) for record in page.changes]
        found = msgspec.structs.replace(found, changes=changes, changed=page.changed)
    return DECISIONS.reply(found)


class Feed:
    """Reads the decisions of one client, or of all, from a place on, and what was changed of them.

    Attributes:
        after: every decision up to here was read.
        changed: every change up to here was read; None leaves changes out.
    """

    def __init__(self, services: Services, client: str | None, after: int, changed: int | None) -> None:
        self._services = services
        self._client = client
        self.after = after
        self.changed = changed

    async def page(self, limit: int, *, wait: float) -> FeedPage:
        """At most `limit` of each; none when none came within `wait` seconds or the server stops."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        with self._services.app.signal.subscribe() as committed:
            while True:
                committed.clear()
                page = await self._read(limit)
                left = deadline - loop.time()
                if page.records or page.changes or left <= 0 or self._services.draining:
                    return page
                try:
                    await asyncio.wait_for(committed.wait(), left)
                except TimeoutError:
                    return page
                await asyncio.sleep(min(PAUSE, left))

    async def _read(self, limit: int) -> FeedPage:
        query = ReadFeed(after=self.after, changed=self.changed, limit=limit, client=self._client)
        page = await self._services.app.store.ask(query)
        self.after = page.after
        if self.changed is not None:
            self.changed = page.changed
        return page


def client_of(caller: Caller, asked: str) -> str | None:
    """Whose decisions a caller reads; None for everyone's.

    Raises:
        ProblemError: 404, another client's are not the caller's to see.
    """
    own_ticket = caller.ticket is None and asked.startswith(f"{caller.id}/")
    if own_ticket or asked == caller.client:
        return asked
    if not asked:
        return caller.client
    if not caller.role.may(Role.ADMIN):
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no such client for this key.", field="client")
    return None if asked == EVERYONE else asked
