"""The executor of the outbox: performs what was decided, once, and keeps what came of it."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from chat_moderator.errors import (
    ForbiddenError,
    PermanentError,
    SkippedError,
    StaleLeaseError,
    TransientError,
    UnauthorizedError,
)
from chat_moderator.moderator.lease import ConnectionLease
from chat_moderator.protocols import Action, Enforcer
from chat_moderator.store.database import Store
from chat_moderator.store.outbox import (
    DueIntentions,
    EndIntention,
    Intention,
    NextDue,
    PostponeIntention,
    StartIntention,
)
from chat_moderator.types import Outcome, OutcomeState, Struct, now

log = logging.getLogger(__name__)

LATE: Final = frozenset({"alert", "release", "undo"})
"""Actions that still make sense after a later revision of the message came in."""

ABOUT_THE_AUTHOR: Final = frozenset({"reply", "timeout", "undo"})
"""Actions that may be forbidden because of whom they are about, which no operator has to mend."""

Report = Callable[[str, str], None]


class Config(Struct, frozen=True):
    """`parallel`: actions at once, a connection; `attempts`: tries before one has failed.

    `back_off`: seconds before the second try, doubled for each further one.
    """

    parallel: int = 64
    attempts: int = 8
    back_off: float = 1.0


class OutboxExecutor:
    """Works the outbox, or one connection's part of it: a platform that is down or slow then delays no other.

    Args:
        actions: by registry name.
        enforcers: by client; `fallback` acts for all others.
        only: the client whose actions are performed; all where empty.
        without: clients whose actions are left to other executors.
        lease: by which one process at a time works this part; None where no other could.
        report: told what an operator has to mend, by topic; an empty text where it is mended.
    """

    def __init__(
        self,
        store: Store,
        actions: Mapping[str, Action],
        enforcers: Mapping[str, Enforcer],
        fallback: Enforcer,
        *,
        only: str = "",
        without: tuple[str, ...] = (),
        lease: ConnectionLease | None = None,
        report: Report = lambda _topic, _problem: None,
        config: Config | None = None,
    ) -> None:
        self._lease = lease
        self._report = report
        self._store = store
        self._only = only
        self._without = without
        self._actions = actions
        self._enforcers = enforcers
        self._fallback = fallback
        self._config = config or Config()
        self._wake = asyncio.Event()
        self._stopping = False
        self._running: dict[int, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Looks at the outbox now."""
        self._wake.set()

    def stop(self) -> None:
        """Lets `run` return once the calls under way have ended."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Performs what is due until stopped."""
        while not self._stopping:
            self._wake.clear()
            try:
                wait = await self._perform_due() if self._lease is None else await self._perform_leased(self._lease)
            except TransientError as problem:
                log.warning("the outbox cannot be read for now: %s", problem)
                wait = 1.0
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue
        await asyncio.gather(*self._running.values())
        if self._lease is not None:
            await self._lease.free()

    async def _perform_leased(self, lease: ConnectionLease) -> float:
        return min(lease.every, await self._perform_due()) if await lease.held() else lease.every

    async def _perform_due(self) -> float:
        """Begins what is due; returns the seconds until there is more."""
        while room := self._config.parallel - len(self._running):
            query = DueIntentions(limit=room, busy=tuple(self._running), only=self._only, without=self._without)
            due = await self._store.ask(query)
            for intention in due:
                task = asyncio.create_task(self._perform(intention))
                self._running[intention.id] = task
                task.add_done_callback(partial(self._ended, intention.id))
            if len(due) < room:
                break
        return await self._next()

    def _ended(self, number: int, _: object) -> None:
        del self._running[number]
        self._wake.set()

    async def _next(self) -> float:
        if len(self._running) >= self._config.parallel:
            return 60.0
        due = await self._store.ask(NextDue(busy=tuple(self._running), only=self._only, without=self._without))
        return 60.0 if due is None else min(60.0, max(0.0, due - now().timestamp()))

    async def _perform(self, intention: Intention) -> None:
        try:
            outcome = await self._attempt(intention)
            if outcome is not None:
                await self._store.execute(EndIntention(id=intention.id, outcome=outcome))
        except TransientError as problem:
            log.warning("an outcome could not be kept; the action is looked at again: %s", problem)
            await asyncio.sleep(1.0)
        except Exception:
            log.exception("action %s failed in a way that was not foreseen", intention.action)
            await self._store.execute(PostponeIntention(id=intention.id, delay=self._delay(intention)))

    async def _attempt(self, intention: Intention) -> Outcome | None:
        if self._lease is not None and not self._lease.sure:
            raise StaleLeaseError("another process may act for this connection now")
        name = intention.action
        action = self._actions.get(name)
        if action is None or (intention.superseded and name not in LATE):
            reason = "there is no such action any more" if action is None else "a later revision was accepted"
            return Outcome(name, OutcomeState.SKIPPED, reason)
        if not action.repeatable and intention.started:
            return Outcome(name, OutcomeState.UNCERTAIN, "it was begun, and whether it happened is unknown")
        if not action.repeatable:
            await self._store.execute(StartIntention(id=intention.id))
        enforcer = self._enforcers.get(intention.record.message.client, self._fallback)
        try:
            outcome = await action.perform(intention.record, enforcer)
        except TransientError as problem:
            self._tell(intention, problem)
            return await self._postponed(intention, problem)
        except SkippedError as reason:
            return Outcome(name, OutcomeState.SKIPPED, str(reason))
        except PermanentError as problem:
            self._tell(intention, problem)
            return Outcome(name, OutcomeState.FAILED, str(problem))
        self._tell(intention, None)
        return outcome

    def _tell(self, intention: Intention, problem: Exception | None) -> None:
        """Reports what an operator has to mend: a token, or a right in a channel; None: both are as they should be."""
        name = intention.action
        place = name if name == "alert" else f"{name} {intention.record.message.channel}"
        if problem is None:
            self._report("access", "")
            self._report(place, "")
        elif isinstance(problem, UnauthorizedError):
            self._report("access", str(problem))
        elif isinstance(problem, ForbiddenError) and name not in ABOUT_THE_AUTHOR:
            self._report(place, str(problem))

    async def _postponed(self, intention: Intention, problem: TransientError) -> Outcome | None:
        """Tries again later; a time that the platform named is no failure of ours and counts as no try."""
        if problem.retry_after is not None:
            delay = problem.retry_after.total_seconds()
            await self._store.execute(PostponeIntention(id=intention.id, delay=delay, counted=False))
            return None
        tries = intention.attempts + 1
        if tries >= self._config.attempts:
            return Outcome(intention.action, OutcomeState.FAILED, f"given up after {tries} tries: {problem}")
        await self._store.execute(PostponeIntention(id=intention.id, delay=self._delay(intention)))
        return None

    def _delay(self, intention: Intention) -> float:
        return float(min(300.0, self._config.back_off * 2**intention.attempts))
