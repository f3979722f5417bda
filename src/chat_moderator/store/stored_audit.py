"""The audit in a store, whichever it is."""

from collections.abc import Sequence

from chat_moderator.store.audit import Append, AppendNew, RecordsAfter
from chat_moderator.store.database import Store
from chat_moderator.store.retention import Compact, EraseAuthor
from chat_moderator.types import Appended, Record


class StoredAudit:
    """Implements `AuditStore` on a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def append(self, records: Sequence[Record]) -> list[int]:
        """See `AuditStore.append`."""
        return await self._store.execute(Append(records=tuple(records)))

    async def append_once(self, records: Sequence[Record]) -> Appended:
        """See `AuditStore.append_once`."""
        return await self._store.execute(AppendNew(records=tuple(records)))

    async def after(self, seq: int, *, limit: int, client: str | None = None) -> list[Record]:
        """See `AuditStore.after`."""
        return await self._store.ask(RecordsAfter(seq=seq, limit=limit, client=client))

    async def erase(self, author_id: str, *, platform: str | None = None) -> int:
        """See `AuditStore.erase`; afterwards SQLite keeps no trace in free pages or the log."""
        changed = await self._store.execute(EraseAuthor(author_id=author_id, platform=platform))
        await self._store.ask(Compact())
        return changed
