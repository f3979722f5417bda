"""What every enforcer does: plain async functions named as sentences, each given an enforcer and a message."""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

from chat_moderator.errors import PermanentError
from chat_moderator.protocols import Enforcer
from chat_moderator.types import Message, Outcome, OutcomeState

Check = Callable[[Enforcer, Message], Awaitable[None]]


async def deletes_and_counts_already_gone_as_success(enforcer: Enforcer, message: Message) -> None:
    """Twice is the same as once."""
    await enforcer.delete(message, reason="test")
    await enforcer.delete(message, reason="test")


async def times_out(enforcer: Enforcer, message: Message) -> None:
    """The author is kept from writing, or the platform cannot and says so."""
    with contextlib.suppress(PermanentError):
        await enforcer.timeout(message, length=timedelta(minutes=1), reason="test")


async def releases_and_counts_already_released_as_success(enforcer: Enforcer, message: Message) -> None:
    """Twice is the same as once."""
    await enforcer.release(message)
    await enforcer.release(message)


async def undoes_or_says_that_it_cannot(enforcer: Enforcer, message: Message) -> None:
    """What cannot be undone is a PermanentError with a reason."""
    with contextlib.suppress(PermanentError):
        await enforcer.undo(message, Outcome("delete", OutcomeState.DONE))


CHECKS: tuple[Check, ...] = (
    deletes_and_counts_already_gone_as_success,
    times_out,
    releases_and_counts_already_released_as_success,
    undoes_or_says_that_it_cannot,
)
"""The contract of `Enforcer`."""
