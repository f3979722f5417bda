"""The moderator: from messages to decisions. It knows no queue, no HTTP and no platform."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from chat_moderator.moderator.cascade import Cascade
from chat_moderator.moderator.judge import Judge
from chat_moderator.moderator.recent import Joined, Place, Recent, place_of
from chat_moderator.protocols import AuditStore, Clock, Policy
from chat_moderator.types import HELD, Decision, Message, Record, Verdict, now

_Judged = Callable[[Sequence[Message], Sequence[str]], list[Decision]]


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
        recent: remembers what each author just wrote; by default for half a minute.
        clock: tells the time, in UTC.
    """

    def __init__(
        self,
        cascade: Cascade,
        policy: Policy,
        *,
        performable: Callable[[str], Collection[str]] = lambda _: (),
        recent: Recent | None = None,
        clock: Clock = now,
    ) -> None:
        self.cascade = cascade
        self.policy = policy
        self.recent = recent or Recent()
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
        at, cascade, policy = self._clock(), self.cascade, self.policy

        def judged(some: Sequence[Message], texts: Sequence[str]) -> list[Decision]:
            return policy.decide(some, cascade.assess(texts, policy.limits), at=at)

        decisions = judged(messages, [message.text for message in messages])
        wholes = self._read_whole(messages, decisions, at, judged)
        flagged = [index for index, decision in enumerate(decisions) if decision.verdict is not Verdict.ALLOW]
        if flagged:
            spans = cascade.explain(
                [wholes[index].text if index in wholes else messages[index].text for index in flagged],
                [decisions[index].assessment.tier for index in flagged],
            )
            for index, found in zip(flagged, spans, strict=True):
                decision = self._finished(messages[index], decisions[index], found)
                whole = wholes.get(index)
                decisions[index] = whole.decide(messages[index], decision) if whole else decision
        for index, message in enumerate(messages):
            if message.id.startswith(HELD) and decisions[index].verdict is Verdict.ALLOW:
                decisions[index] = self._let_through(message, decisions[index])
        return decisions

    async def aclose(self) -> None:
        """Finishes what was begun."""
        await asyncio.to_thread(self._judge.close)

    def _read_whole(
        self, messages: Sequence[Message], decisions: list[Decision], at: datetime, judged: _Judged
    ) -> dict[int, Joined]:
        """Reads each short message with its author's last ones too and lets the worse decision stand.

        Returns what was read, by the index of the message that it made worse.
        """
        wholes: dict[int, Joined] = {}
        waiting = [index for index, message in enumerate(messages) if self.recent.may_join(message)]
        while waiting:
            joined: dict[int, Joined] = {}
            for index in waiting:
                if found := self.recent.joined(messages[index], at):
                    joined[index] = found
                if decisions[index].verdict is Verdict.ALLOW:
                    self.recent.keep(messages[index], at)
            if not joined:
                break
            answers = judged([messages[index] for index in joined], [found.text for found in joined.values()])
            # What is acted on ends a run: the author's later messages are read again, without what was before.
            ended: dict[Place, int] = {}
            for (index, found), answer in zip(joined.items(), answers, strict=True):
                place = place_of(messages[index])
                if place not in ended and answer.verdict.severity > decisions[index].verdict.severity:
                    decisions[index], wholes[index] = answer, found
                    self.recent.forget(messages[index])
                    ended[place] = index
            waiting = [index for index in waiting if index > ended.get(place_of(messages[index]), len(messages))]
        return wholes

    def _let_through(self, message: Message, decision: Decision) -> Decision:
        """What its platform holds is released there; whoever is no platform cannot hold anything."""
        platform = "delete" in self._performable(message.client)
        return msgspec.structs.replace(decision, actions=("release",)) if platform else decision

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

    async def moderate(self, messages: Sequence[Message], *, keep_text: bool = True) -> list[Record]:
        """One committed record a message, in order; without `keep_text` they hold everything but the text.

        Raises:
            OverloadedError: too much waits, or the store cannot write; nothing was recorded.
        """
        received = self._clock()
        decisions = await self._moderator.moderate(messages)
        kept = messages if keep_text else [msgspec.structs.replace(message, text="") for message in messages]
        records = recorded(kept, decisions, received_at=[received] * len(messages), decided_at=self._clock())
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
