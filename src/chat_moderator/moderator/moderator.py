"""The moderator: from messages to decisions. It knows no queue, no HTTP and no platform."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from chat_moderator.moderator.cascade import Cascade
from chat_moderator.moderator.judge import Judge
from chat_moderator.protocols import AuditStore, Clock, Policy
from chat_moderator.types import Decision, Message, Record, Verdict, now


class Observer(Protocol):
    """Is told what was decided; counts, and nothing else."""

    def decided(self, records: Sequence[Record]) -> None:
        """Records were committed."""


class Moderator:
    """Judges batches with a cascade and a policy; both may be exchanged at any time, between two batches.

    Args:
        cascade: scores.
        policy: decides.
        performable: the actions that can be carried out for a client; others are left out of its decisions.
        clock: tells the time, in UTC.
    """

    def __init__(
        self,
        cascade: Cascade,
        policy: Policy,
        *,
        performable: Callable[[str], Collection[str]] = lambda _: (),
        clock: Clock = now,
    ) -> None:
        self.cascade = cascade
        self.policy = policy
        self._performable = performable
        self._clock = clock
        self._judge = Judge(self.decide)

    async def moderate(self, messages: Sequence[Message], *, urgent: bool = True) -> list[Decision]:
        """One decision a message, in order; somebody waits for `urgent` ones.

        Raises:
            OverloadedError: more urgent messages wait than can be judged in time.
        """
        return await self._judge.judge(messages, urgent=urgent) if messages else []

    def decide(self, messages: Sequence[Message]) -> list[Decision]:
        """Like `moderate`, on the calling thread; not to be called from two threads at once."""
        cascade = self.cascade
        assessments = cascade.assess([message.text for message in messages])
        decisions = self.policy.decide(messages, assessments, at=self._clock())
        flagged = [index for index, decision in enumerate(decisions) if decision.verdict is not Verdict.ALLOW]
        if flagged:
            spans = cascade.explain([messages[index].text for index in flagged])
            for index, found in zip(flagged, spans, strict=True):
                decisions[index] = self._finished(messages[index], decisions[index], found)
        return decisions

    async def aclose(self) -> None:
        """Finishes what was begun."""
        await asyncio.to_thread(self._judge.close)

    def _finished(self, message: Message, decision: Decision, spans: object) -> Decision:
        performable = self._performable(message.client)
        return msgspec.structs.replace(
            decision,
            actions=tuple(action for action in decision.actions if action in performable),
            assessment=msgspec.structs.replace(decision.assessment, spans=spans),
        )


class Recorder:
    """Moderates for callers who wait for the answer: it leaves after its audit rows are committed."""

    def __init__(self, moderator: Moderator, audit: AuditStore, observer: Observer, *, clock: Clock = now) -> None:
        self._moderator = moderator
        self._audit = audit
        self._observer = observer
        self._clock = clock

    async def moderate(self, messages: Sequence[Message]) -> list[Record]:
        """One committed record a message, in order.

        Raises:
            OverloadedError: too much waits, or the store cannot write; nothing was recorded.
        """
        received = self._clock()
        decisions = await self._moderator.moderate(messages)
        records = recorded(messages, decisions, received_at=[received] * len(messages), decided_at=self._clock())
        places = await self._audit.append(records)
        self._observer.decided(records)
        return [msgspec.structs.replace(record, seq=seq) for record, seq in zip(records, places, strict=True)]


def recorded(
    messages: Sequence[Message],
    decisions: Sequence[Decision],
    *,
    received_at: Sequence[datetime],
    decided_at: datetime,
    attempts: Sequence[int] = (),
) -> list[Record]:
    """Records of a batch."""
    tried = attempts or (1,) * len(messages)
    return [
        Record(message, decision, received, decided_at, 0, attempt)
        for message, decision, received, attempt in zip(messages, decisions, received_at, tried, strict=True)
    ]
