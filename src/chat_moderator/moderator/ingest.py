"""Runs the source of one connection: takes in what it reads, starts it again when it fails, says how it does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec

from chat_moderator.errors import PermanentError, TransientError
from chat_moderator.protocols import Queue, Source
from chat_moderator.queues.embedded import EmbeddedQueue
from chat_moderator.store.audit import FindRecord
from chat_moderator.store.bookmarks import Bookmark, KeepBookmark
from chat_moderator.store.database import Store
from chat_moderator.store.reviews import AlreadyResolvedError, ResolveReview, ReviewState
from chat_moderator.types import Message, now

log = logging.getLogger(__name__)

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
REFUSED_PAUSE: Final = 300.0
"""Seconds before a source that needs the operator is tried again: a new token may have been allowed meanwhile."""

STEADY: Final = 60.0
"""Seconds that a source has to run before its next failure counts as the first."""

SHOWN: Final = 50
"""Problems of a connection that are shown: a platform may have thousands of channels."""

Rest = Callable[[float], Awaitable[None]]


class SourceObserver(Protocol):
    """Counts what sources do, by the name of their connection."""

    def accepted(self, source: str, count: int) -> None:
        """Messages were made durable."""

    def restarted(self, source: str) -> None:
        """The source failed and is run again."""

    def missed(self, source: str) -> None:
        """Messages may have been missed."""


class Ingest:
    """Implements `Intake` for one connection, and runs its source.

    Args:
        name: of the connection; the `client` of its messages.
        rest: waits that many seconds.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        queue: Queue,
        store: Store,
        observer: SourceObserver,
        *,
        rest: Rest = asyncio.sleep,
    ) -> None:
        self.name = name
        self.source = source
        self._queue = queue
        self._store = store
        self._observer = observer
        self._rest = rest
        self._problems: dict[str, str] = {}
        self._gaps = 0
        self._gap = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """What the operator has to look at, each in one sentence that names the connection."""
        found = list(dict.fromkeys(f"{self.name}: {problem}" for problem in self._problems.values()))
        more = [f"{self.name}: {len(found) - SHOWN} more problems, each in the log"] if len(found) > SHOWN else []
        return (*found[:SHOWN], *more)

    @property
    def troubles(self) -> int:
        """How many things the operator has to look at."""
        return len(self._problems)

    @property
    def gap_told(self) -> str:
        """How often messages may have been missed since the start, when last and why; empty where they never were."""
        return f"{self.name}: {self._gaps} since the start, the last {self._gap}" if self._gaps else ""

    async def run(self) -> None:
        """Runs the source, again after every failure, until cancelled or until it has nothing more to read."""
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
        while True:
            begun = loop.time()
            try:
                await self.source.run(self)
            except PermanentError as problem:
                self.report(_RUNNING, str(problem))
                wait = REFUSED_PAUSE
            except TransientError as problem:
                self.report(_RUNNING, f"not connected for now: {problem}")
                wait = problem.retry_after.total_seconds() if problem.retry_after else 0.0
            except Exception:
                log.exception("source %s failed in a way that was not foreseen", self.name)
                self.report(_RUNNING, "stopped by a fault that its log line describes; it is started again")
                wait = 0.0
            else:
                log.info("source %s has come to its end", self.name)
                return
            pause = FIRST_PAUSE if loop.time() - begun > STEADY else min(2 * pause, LONGEST_PAUSE)
            self._observer.restarted(self.name)
            await self._rest(max(wait, pause))

    async def accept(self, messages: Sequence[Message], *, delivery: str = "") -> None:
        """See `Intake.accept`."""
        pause = FIRST_PAUSE / 10
        own = [msgspec.structs.replace(message, client=self.name) for message in messages]
        while own:
            try:
                await self._put(own, delivery)
            except TransientError as problem:
                if delivery:
                    raise
                log.warning("source %s waits, the queue takes nothing for now: %s", self.name, problem)
                await self._rest(pause)
                pause = min(2 * pause, LONGEST_PAUSE / 10)
            else:
                return

    def connected(self) -> None:
        """See `Intake.connected`."""
        self.report(_RUNNING, "")

    async def resolve(self, seq: int, *, approve: bool, moderator: str) -> str:
        """See `Intake.resolve`."""
        record = await self._store.ask(FindRecord(seq=seq))
        if record is None or record.message.client != self.name:  # nobody judges another connection's messages
            return f"There is no record {seq} here."
        state = ReviewState.APPROVED if approve else ReviewState.DENIED
        try:
            review = await self._store.execute(ResolveReview(id=seq, state=state, reviewer=moderator))
        except AlreadyResolvedError as problem:
            return f"{str(problem)[:1].upper()}{str(problem)[1:]}."
        except PermanentError as problem:
            return f"Nothing was done: {problem}."
        return f"{review.state.value.capitalize()} by {review.reviewer}."

    async def bookmark(self, name: str) -> str:
        """See `Intake.bookmark`."""
        return await self._store.ask(Bookmark(source=self.name, name=name))

    async def keep(self, name: str, place: str) -> None:
        """See `Intake.keep`."""
        await self._store.execute(KeepBookmark(source=self.name, name=name, place=place))

    def report(self, topic: str, problem: str) -> None:
        """See `Intake.report`."""
        known = self._problems.pop(topic, "")
        if problem:
            self._problems[topic] = problem
            if problem != known:
                log.error("source %s: %s", self.name, problem)
        elif known:
            log.info("source %s: mended: %s", self.name, known)

    def gap(self, detail: str) -> None:
        """See `Intake.gap`."""
        self._gaps += 1
        self._gap = f"{now():%Y-%m-%dT%H:%M:%SZ}: {detail}"
        self._observer.missed(self.name)
        log.warning("source %s may have missed messages: %s", self.name, detail)

    async def _put(self, messages: Sequence[Message], delivery: str) -> None:
        try:
            if delivery and isinstance(self._queue, EmbeddedQueue):
                new = await self._queue.put(messages, delivery=f"{self.name}:{delivery}")
            else:
                new = await self._queue.put(messages)
        except (
            PermanentError
        ) as problem:  # one of them cannot be kept: a key came with another text, or it is too large
            if len(messages) == 1:
                log.warning("source %s: a message is left out: %s", self.name, problem)
                return
            for message in messages:
                await self._put((message,), "")
        else:
            self._observer.accepted(self.name, new)


_RUNNING: Final = "running"
