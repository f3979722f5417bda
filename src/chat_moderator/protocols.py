"""The roles that components play, with their contracts. Everything between a source and the sinks takes a batch."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from chat_moderator.types import (
    Appended,
    Assessment,
    Decision,
    Depth,
    Message,
    Outcome,
    Record,
    Span,
    WebhookAnswer,
    WebhookCall,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Clock = Callable[[], datetime]
"""The current time in UTC; injected, so that tests own it."""


class Intake(Protocol):
    """What a source hands over to; each connection has one of its own."""

    async def accept(self, messages: Sequence[Message], *, delivery: str = "") -> None:
        """Returns once they are durable; only then may the platform be told. Known keys are passed over.

        It fills in `client`.

        While the queue is full this waits, so that the source stops reading. For a webhook, whose `delivery` (the
        platform's id of the call, taken once) is given, it raises instead, and the platform sends again.

        Raises:
            TransientError: a delivery could not be kept.
        """

    def connected(self) -> None:
        """The platform lets the source in and messages flow: whatever kept it out is mended."""

    async def resolve(self, seq: int, *, approve: bool, moderator: str) -> str:
        """Takes a moderator's word about the record `seq` of this connection; returns what to show, one sentence."""

    async def bookmark(self, name: str) -> str:
        """The place last kept under a name, such as the newest message of a channel; empty where there is none."""

    async def keep(self, name: str, place: str) -> None:
        """Keeps how far was read, for after a restart; to be called once what lies before it was accepted."""

    def report(self, topic: str, problem: str) -> None:
        """Shows a problem that the operator must mend (what, where, the cure) until it is called with an empty one."""

    def gap(self, detail: str) -> None:
        """Counts and logs that messages may have been missed and cannot be fetched."""


class Source(Protocol):
    """Reads a platform. It runs until cancelled and reconnects by itself."""

    async def run(self, intake: Intake) -> None:
        """Hands over new messages and edits, in order within a channel, until cancelled.

        Raises:
            PermanentError: the operator must act (a revoked token, a missing permission).
            TransientError: the platform cannot be reached; to be run again later.
        """

    async def aclose(self) -> None:
        """Lets go of connections; what acts on the platform may do so until then, whether `run` runs or not."""


@runtime_checkable
class WebhookSource(Source, Protocol):
    """A source that the platform calls, at `POST /webhooks/NAME` with the connection's name."""

    @property
    def media(self) -> tuple[str, ...]:
        """The content types that the platform sends."""

    async def receive(self, call: WebhookCall, intake: Intake) -> WebhookAnswer:
        """Checks the signature over the raw body first, then the time, then takes in what is in it.

        Raises:
            RefusedError: the platform did not make this call now; nothing of it was looked at.
            TransientError: it could not be kept; the platform is to send it again.
        """


@runtime_checkable
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

    async def alert(self, record: Record) -> bool:
        """Shows a record to the connection's moderators with ways to confirm and to undo. Not repeated when uncertain.

        Returns whether the connection has a place for moderators at all.
        """

    async def undo(self, message: Message, outcome: Outcome) -> None:
        """Takes back what can be taken back.

        Raises:
            PermanentError: this outcome cannot be undone here.
        """


@runtime_checkable
class HoldingEnforcer(Enforcer, Protocol):
    """An enforcer whose platform itself can keep a message out of sight until somebody has looked at it."""

    async def hold(self, message: Message, *, reason: str) -> None:
        """Leaves it with the platform where that holds it already, else takes it out of sight; may be repeated."""


class Queue(Protocol):
    """Holds messages between the intake and the worker."""

    async def open(self) -> None:
        """Connects and makes sure that the queue can be used; the other methods connect again by themselves.

        Raises:
            ConfigError: the operator must act: wrong credentials, a missing queue or permission, one of another shape.
            TransientError: it cannot be reached for now.
        """

    async def put(self, messages: Sequence[Message]) -> int:
        """Returns once all are durable, with the number that were new (a broker that cannot tell answers all).

        Raises:
            ConflictError: a key came again with another text; none of the batch was kept.
            OverloadedError: the queue is full; none of the batch was kept.
            TooLargeError: a message is larger than the queue takes; none of the batch was kept.
        """

    async def lease(self, limit: int, *, wait: timedelta) -> "Lease | None":
        """Up to `limit` messages for this caller alone, in arrival order within a channel.

        A broker hands out whole envelopes, the last of which may exceed the limit. None when none came within `wait`.
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

    @property
    def limits(self) -> tuple[Mapping[str, float], ...]:
        """For each place with a policy of its own, the lowest score of each label at which anything may happen."""

    def decide(self, messages: Sequence[Message], assessments: Sequence[Assessment], *, at: datetime) -> list[Decision]:
        """One decision a message, in order. A rule that fails at run time holds the message, never allows it."""

    def reached(self, message: Message, assessment: Assessment) -> frozenset[str]:
        """The labels whose score is at or above what holds or blocks a message in its place; no rule is asked."""


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

    async def append_once(self, records: Sequence[Record]) -> Appended:
        """Like `append`, but a message key that was decided before is passed over: a second delivery has no effect."""

    async def after(self, seq: int, *, limit: int, client: str | None = None) -> list[Record]:
        """Records committed after `seq`, oldest first, of one client where given."""

    async def erase(self, author_id: str, *, platform: str | None = None) -> int:
        """Removes text and name of an author everywhere; returns how many rows changed."""
