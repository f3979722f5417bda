"""A store in two parts: what several processes share, and what belongs to one directory."""

from typing import Final, TypeVar

from chat_moderator.store.audit import Append, AppendNew, AppendOnce, FindByKey, FindRecord, LastSeq, RecordsAfter
from chat_moderator.store.bookmarks import Bookmark, KeepBookmark
from chat_moderator.store.changes import LastChange, ReadFeed
from chat_moderator.store.database import Command, Query, Store
from chat_moderator.store.outbox import (
    DueIntentions,
    EndIntention,
    NextDue,
    OutboxDepth,
    PostponeIntention,
    StartIntention,
)
from chat_moderator.store.retention import Compact, EraseAuthor, Forget
from chat_moderator.store.reviews import ListReviews, ResolveReview

R = TypeVar("R")

SHARED: Final = frozenset(
    {
        *(Append, AppendNew, AppendOnce, FindByKey, FindRecord, LastSeq, RecordsAfter),
        *(Bookmark, KeepBookmark),
        *(LastChange, ReadFeed),
        *(DueIntentions, EndIntention, NextDue, OutboxDepth, PostponeIntention, StartIntention),
        *(ListReviews, ResolveReview),
    }
)
"""What goes to the shared part."""


class DividedStore:
    """Implements `Store`: audit, changes, outbox, reviews and bookmarks are shared, all else is local.

    What forgets does so in both.
    """

    def __init__(self, shared: Store, local: Store) -> None:
        self._shared = shared
        self._local = local

    async def execute(self, command: Command[R]) -> R:
        """See `Store.execute`."""
        if isinstance(command, (EraseAuthor, Forget)):
            forgotten = await self._shared.execute(command), await self._local.execute(command)
            return sum(forgotten)  # type: ignore[return-value]  # both return how many
        part = self._shared if type(command) in SHARED else self._local
        return await part.execute(command)

    async def ask(self, query: Query[R]) -> R:
        """See `Store.ask`."""
        if isinstance(query, Compact):
            await self._shared.ask(query)
        part = self._shared if type(query) in SHARED else self._local
        return await part.ask(query)
