"""Keeps the author from writing for a while."""

from datetime import timedelta
from typing import Final

from chat_moderator.errors import ConfigError
from chat_moderator.protocols import Enforcer
from chat_moderator.types import Outcome, OutcomeState, Record, Struct

LONGEST: Final = timedelta(days=28).total_seconds()
"""Discord takes no more; other platforms take at least as much."""


class Config(Struct, frozen=True):
    """`length`: seconds, at most 28 days."""

    length: float = 600.0


class TimeoutAction:
    """Times the author out where the message was written.

    Raises:
        ConfigError: the length is not above 0 and at most 28 days.
    """

    repeatable = True

    def __init__(self, config: Config | None = None) -> None:
        length = (config or Config()).length
        if not 0 < length <= LONGEST:
            raise ConfigError("actions.timeout.length", f"{length!r} is not above 0 and at most {LONGEST:.0f} seconds")
        self._length = timedelta(seconds=length)

    async def perform(self, record: Record, enforcer: Enforcer) -> Outcome:
        """See `Action.perform`."""
        await enforcer.timeout(record.message, length=self._length, reason=record.decision.rule)
        return Outcome("timeout", OutcomeState.DONE)
