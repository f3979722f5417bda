"""The roles that components play, with their contracts. Everything between a source and the sinks takes a batch."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from chat_moderator.types import Assessment, Decision, Depth, Message, Outcome, Record, Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Clock = Callable[[], datetime]
"""The current time in UTC; injected, so that tests own it."""


class Source(Protocol):
    """Reads a platform. It runs until cancelled and reconnects by itself."""

    async def run(self, accept: Callable[[Sequence[Message]], Awaitable[None]]) -> None:
        """Hands batches to `accept`, which returns once they are durable; only then may the platform be told.

        Raises:
            PermanentError: the operator must act (a revoked token, a missing permission).
        """


class Enforcer(Protocol):
    """Carries out consequences on a platform. Every call may be repeated after an uncertain answer, but `reply`.

    Each method raises TransientError (with `retry_after` where the platform names one) or PermanentError.
    """

    async def delete(self, message: Message, *, reason: str) -> None:
        """Removes the message; already gone is success."""

    async def timeout(self, message: Message, *, length: timedelta, reason: str) -> None:
        """Keeps its author from writing for `length`."""

    async def reply(self, message: Message, *, text: str) -> None:
        """Tells the author, privately where the platform can. Not repeated when its fate is unknown."""

    async def release(self, message: Message) -> None:
        """Lets a held message through."""

    async def undo(self, message: Message, outcome: Outcome) -> None:
        """Takes back what can be taken back.

        Raises:
            PermanentError: this outcome cannot be undone here.
        """


class Queue(Protocol):
    """Holds messages between the intake and the worker."""

    async def put(self, messages: Sequence[Message]) -> int:
        """Returns once all are durable, with the number that were new (a broker that cannot tell answers all).

        Raises:
            ConflictError: a key came again with another text; none of the batch was kept.
            OverloadedError: the queue is full; none of the batch was kept.
        """

    async def lease(self, limit: int, *, wait: timedelta) -> "Lease | None":
        """Up to `limit` messages for this caller alone, in arrival order within a channel.

        None when none came within `wait`.
        """

    async def depth(self) -> Depth:
        """How much waits, is leased, delayed and dead."""

    async def aclose(self) -> None:
        """Gives back what is leased and lets go of the connection."""


class Lease(Protocol):
    """Messages and the way to settle them. After its time they may be leased again, and nothing stale can settle."""

    @property
    def messages(self) -> Sequence[Message]:
        """What was leased and is not yet settled, in order."""

    @property
    def attempts(self) -> Sequence[int]:
        """How often each was leased, this time included; from 1."""

    @property
    def received_at(self) -> Sequence[datetime]:
        """When each came in."""

    async def renew(self) -> None:
        """Starts the lease's time anew.

        Raises:
            StaleLeaseError: it ran out before.
        """

    async def retry(self, indexes: Sequence[int], *, delay: timedelta) -> None:
        """Puts those at `indexes` (into `messages`) back for later, at the latest with `ack`; they lose their place."""

    async def bury(self, indexes: Sequence[int], *, reason: str) -> None:
        """Moves those at `indexes` to the dead letters, at the latest with `ack`."""

    async def ack(self) -> None:
        """Settles all that was neither put back nor buried.

        Raises:
            StaleLeaseError: the lease ran out; nothing was settled.
        """


@runtime_checkable
class TransactionalLease(Lease, Protocol):
    """A lease whose queue shares the audit's database, so that decisions and ack are one transaction."""

    async def commit(self, records: Sequence[Record]) -> None:
        """Appends the records with the actions they intend, and acks, all or nothing.

        Raises:
            StaleLeaseError: the lease ran out; nothing was written.
        """


class Classifier(Protocol):
    """Scores texts: plain, synchronous, batch-shaped, safe to call from one thread at a time."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the score columns."""

    @property
    def version(self) -> str:
        """Changes whenever a score could change."""

    def score(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """(len(texts), len(labels)), each 0 to 1; a row never depends on its neighbours."""

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """Which characters of each original text speak for its scores; only called for what was flagged."""


class Policy(Protocol):
    """Decides. Pure: no clock of its own, no network, the same answer for the same input."""

    @property
    def version(self) -> str:
        """Changes whenever a decision could change."""

    def decide(self, messages: Sequence[Message], assessments: Sequence[Assessment], *, at: datetime) -> list[Decision]:
        """One decision a message, in order. A rule that fails at run time holds the message, never allows it."""


class Action(Protocol):
    """Does one thing about a decided message."""

    @property
    def repeatable(self) -> bool:
        """Whether twice is the same as once; what is not is never tried again after an uncertain answer."""

    async def perform(self, record: Record, enforcer: Enforcer) -> Outcome:
        """Acts.

        Raises:
            TransientError: to be tried again.
            PermanentError: it cannot be done; recorded as failed.
        """


class Sink(Protocol):
    """Gets every record once it is committed, in order, at least once; its place is kept in the store."""

    async def write(self, records: Sequence[Record]) -> None:
        """Returns once the records are safe.

        Raises:
            TransientError: the same records come again later.
        """

    async def erase(self, author_id: str, *, platform: str | None = None) -> None:
        """Removes text and name of an author, of one platform where given, from what this sink keeps where it can."""

    async def aclose(self) -> None:
        """Lets go of files and connections."""


class AuditStore(Protocol):
    """Keeps the audit."""

    async def append(self, records: Sequence[Record]) -> list[int]:
        """Commits records and the actions they intend; returns their `seq`, growing, in order."""

    async def after(self, seq: int, *, limit: int, client: str | None = None) -> list[Record]:
        """Records committed after `seq`, oldest first, of one client where given."""

    async def erase(self, author_id: str, *, platform: str | None = None) -> int:
        """Removes text and name of an author everywhere; returns how many rows changed."""
