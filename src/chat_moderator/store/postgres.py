"""What several processes share, in PostgreSQL: the commands and queries of audit, outbox, reviews and retention."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar

import asyncpg
from msgspec import Meta

from chat_moderator.errors import ChatModeratorError, ConfigError, TransientError
from chat_moderator.protocols import Clock
from chat_moderator.store import audit, bookmarks, changes, outbox, retention, reviews
from chat_moderator.store import postgres_audit as pg_audit
from chat_moderator.store import postgres_changes as pg_changes
from chat_moderator.store import postgres_outbox as pg_outbox
from chat_moderator.store import postgres_retention as pg_retention
from chat_moderator.store import postgres_reviews as pg_reviews
from chat_moderator.store.database import Command, Query
from chat_moderator.store.postgres_context import INTENDED, PostgresContext
from chat_moderator.store.postgres_errors import LOST, failure, unusable
from chat_moderator.store.postgres_migrations import migrate
from chat_moderator.types import Struct, now

log = logging.getLogger(__name__)
R = TypeVar("R")

CONNECT: Final = 10.0
"""Seconds that a connection may take to be made, or to become free."""

STATEMENT: Final = 30.0
"""Seconds that a statement may take; what reads or rewrites much has a time of its own."""

PAUSES: Final = (0.05, 0.25)
"""Seconds before another connection is tried where one broke; what takes longer is the caller's to try again."""

LONGEST: Final = 5.0
"""Seconds between two tries to listen again."""

IDLE: Final = 60.0
"""Seconds after which the listening connection is looked after."""


class Config(Struct, frozen=True):
    """`url`: postgresql://USER:PASSWORD@HOST:PORT/NAME; `schema`: where the tables are; `connections`: at most."""

    url: str
    schema: Annotated[str, Meta(min_length=1, max_length=63)] = "chat_moderator"
    connections: Annotated[int, Meta(ge=1, le=1000)] = 8


class PostgresStore:
    """Implements `Store` for what several processes share; connects when it is first used and again after a break.

    A command is one transaction: where its connection breaks before the commit, it is tried on another one; where it
    breaks in the commit, whether that happened is unknown, and the caller is told to try again.

    Attributes:
        problem: why the database cannot be used for now; empty while it can.
    """

    def __init__(self, config: Config, *, clock: Clock = now) -> None:
        self._config = config
        self._clock = clock
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self._listeners: list[Callable[[bool], None]] = []
        self.problem = ""

    async def open(self) -> None:
        """Connects and brings the schema up to date; the other methods do so by themselves.

        Raises:
            ConfigError: the operator must act: wrong password, no such database, no permission, a newer schema.
            TransientError: it cannot be reached for now.
        """
        await self._opened()

    async def execute(self, command: Command[R]) -> R:
        """See `Store.execute`.

        Raises:
            TransientError: the database cannot be used for now, and whether the command was applied may be unknown.
        """
        handler = COMMANDS[type(command)]
        result: R = await self._transact(lambda context: handler(context, command))
        return result

    async def ask(self, query: Query[R]) -> R:
        """See `Store.ask`.

        Raises:
            TransientError: the database cannot be used for now.
        """
        handler = QUERIES[type(query)]
        result: R = await self._read(lambda context: handler(context, query))
        return result

    async def take_lease(self, name: str, holder: str, *, seconds: float) -> bool:
        """See `Leases.take_lease`."""
        return await self._transact(lambda context: pg_outbox.take_lease(context, name, holder, seconds))

    async def free_lease(self, name: str, holder: str) -> None:
        """See `Leases.free_lease`."""
        await self._transact(lambda context: pg_outbox.free_lease(context, name, holder))

    def on_append(self, listener: Callable[[bool], None]) -> None:
        """Calls `listener` after commits to the feed by any process, while `listen` runs; true: with actions."""
        self._listeners.append(listener)

    async def listen(self) -> None:
        """Hears of other processes' commits until cancelled; after a break everything is looked at once."""
        pause = 1.0
        while True:
            try:
                await self._hear()
                pause = 1.0
            except ChatModeratorError as problem:
                log.warning("commits of other processes are not heard of for now: %s", problem)
                pause = min(2 * pause, LONGEST)
            await asyncio.sleep(pause)

    async def aclose(self) -> None:
        """Ends the connections once they are free, within ten seconds."""
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), CONNECT)
            except TimeoutError:
                self._pool.terminate()

    async def _transact(self, work: Callable[[PostgresContext], Awaitable[R]]) -> R:
        for pause in (*PAUSES, None):
            committing = False
            try:
                async with (await self._opened()).acquire(timeout=CONNECT) as connection:
                    transaction = connection.transaction()
                    await transaction.start()
                    try:
                        context = PostgresContext(connection, self._clock())
                        result = await work(context)
                        await context.announce()
                    except BaseException:
                        with contextlib.suppress(*LOST):
                            await transaction.rollback()
                        raise
                    committing = True
                    await transaction.commit()
                    return self._well(result)
            except (asyncpg.PostgresError, *LOST) as problem:
                if committing or pause is None or not isinstance(problem, LOST):
                    raise self._failed(problem) from problem
                await asyncio.sleep(pause)
        raise AssertionError

    async def _read(self, work: Callable[[PostgresContext], Awaitable[R]]) -> R:
        for pause in (*PAUSES, None):
            try:
                async with (await self._opened()).acquire(timeout=CONNECT) as connection:
                    return self._well(await work(PostgresContext(connection, self._clock())))
            except (asyncpg.PostgresError, *LOST) as problem:
                if pause is None or not isinstance(problem, LOST):
                    raise self._failed(problem) from problem
                await asyncio.sleep(pause)
        raise AssertionError

    async def _opened(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                try:
                    self._pool = await self._open()
                except (asyncpg.PostgresError, *LOST) as problem:
                    raise failure(problem, self._config.url) from problem
            return self._pool

    async def _open(self) -> asyncpg.Pool:
        pool = asyncpg.create_pool(
            self._config.url,
            min_size=0,
            max_size=self._config.connections,
            timeout=CONNECT,
            command_timeout=STATEMENT,
            server_settings=self._session,
            init=_prepare,
        )
        try:
            await pool
            async with pool.acquire(timeout=CONNECT) as connection:
                found = await migrate(connection, self._config.schema)
        except BaseException as problem:
            pool.terminate()
            if isinstance(problem, ValueError):
                raise unusable(problem) from problem
            raise
        log.info("PostgreSQL's schema %s was of version %d", self._config.schema, found)
        return pool

    async def _hear(self) -> None:
        """Listens until the connection breaks."""
        await self._opened()
        try:
            connection = await asyncpg.connect(
                self._config.url, timeout=CONNECT, command_timeout=STATEMENT, server_settings=self._session
            )
        except (asyncpg.PostgresError, *LOST) as problem:
            raise self._failed(problem) from problem
        broken = asyncio.Event()
        connection.add_termination_listener(lambda _: broken.set())
        try:
            await connection.add_listener(self._config.schema, lambda *heard: self._tell(heard[-1] == INTENDED))
            self._tell(True)
            while not broken.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(broken.wait(), IDLE)
                self._well(await connection.fetchval("SELECT 1"))
        except (asyncpg.PostgresError, *LOST) as problem:
            raise self._failed(problem) from problem
        finally:
            connection.terminate()

    def _tell(self, intended: bool) -> None:
        for listener in self._listeners:
            listener(intended)

    def _well(self, result: R) -> R:
        self.problem = ""
        return result

    def _failed(self, problem: Exception) -> ChatModeratorError:
        """What was in use before is expected back, whatever is wrong with it."""
        found = failure(problem, self._config.url)
        self.problem = str(found)
        return TransientError(str(found)) if isinstance(found, ConfigError) else found

    @property
    def _session(self) -> dict[str, str]:
        return {"search_path": f'"{self._config.schema}"', "application_name": "chat-moderator"}


async def _prepare(connection: Any) -> None:
    await connection.execute(pg_audit.STAGED)


Handler = Callable[[PostgresContext, Any], Awaitable[Any]]

COMMANDS: Final = MappingProxyType[type[Any], Handler](
    {
        audit.Append: pg_audit.append,
        audit.AppendNew: pg_audit.append_new,
        audit.AppendOnce: pg_audit.append_once,
        bookmarks.KeepBookmark: pg_audit.keep_bookmark,
        outbox.EndIntention: pg_outbox.end_intention,
        outbox.PostponeIntention: pg_outbox.postpone_intention,
        outbox.StartIntention: pg_outbox.start_intention,
        retention.EraseAuthor: pg_retention.erase_author,
        retention.Forget: pg_retention.forget,
        reviews.ResolveReview: pg_reviews.resolve_review,
    }
)
QUERIES: Final = MappingProxyType[type[Any], Handler](
    {
        audit.FindByKey: pg_audit.find_by_key,
        audit.FindRecord: pg_audit.find_record,
        audit.LastSeq: pg_audit.last_seq,
        audit.RecordsAfter: pg_audit.records_after,
        bookmarks.Bookmark: pg_audit.bookmark,
        changes.LastChange: pg_changes.last_change,
        changes.ReadFeed: pg_changes.read_feed,
        outbox.DueIntentions: pg_outbox.due_intentions,
        outbox.NextDue: pg_outbox.next_due,
        outbox.OutboxDepth: pg_outbox.outbox_depth,
        retention.Compact: pg_retention.compact,
        reviews.ListReviews: pg_reviews.list_reviews,
    }
)
