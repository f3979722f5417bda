"""What every action does: plain async functions named as sentences, each given an action."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from chat_moderator.errors import PermanentError, TransientError
from chat_moderator.protocols import Action
from chat_moderator.testing.doubles import JournalEnforcer
from chat_moderator.testing.factories import make_record
from chat_moderator.types import Outcome, OutcomeState, Record, Verdict

Check = Callable[[Action, str], Awaitable[None]]
"""Called with an action and its registered name."""


def _record() -> Record:
    return make_record(verdict=Verdict.BLOCK, reply="Your message was removed.")


async def says_what_came_of_it(action: Action, name: str) -> None:
    """The outcome carries the action's registered name."""
    assert await action.perform(_record(), JournalEnforcer()) == Outcome(name, OutcomeState.DONE)


async def can_be_repeated_when_it_says_so(action: Action, name: str) -> None:
    """What is repeatable ends the same the second time."""
    if action.repeatable:
        enforcer, record = JournalEnforcer(), _record()
        assert await action.perform(record, enforcer) == await action.perform(record, enforcer)


async def lets_the_platforms_errors_through(action: Action, name: str) -> None:
    """The executor decides about trying again, so an action swallows neither kind of error."""
    for error in (TransientError("429", retry_after=timedelta(seconds=3)), PermanentError("403")):
        enforcer = JournalEnforcer()
        enforcer.errors = [error]
        raised: Exception | None = None
        try:
            await action.perform(_record(), enforcer)
        except (TransientError, PermanentError) as problem:
            raised = problem
        # An action that calls no platform leaves the error unraised.
        assert raised is error or enforcer.errors == [error]


CHECKS: tuple[Check, ...] = (
    says_what_came_of_it,
    can_be_repeated_when_it_says_so,
    lets_the_platforms_errors_through,
)
"""The contract of `Action`."""
