"""Lets a held message through, after a moderator approved it."""

from chat_moderator.protocols import Enforcer
from chat_moderator.types import Outcome, OutcomeState, Record


class ReleaseAction:
    """Releases; released already is success."""

    repeatable = True

    async def perform(self, record: Record, enforcer: Enforcer) -> Outcome:
        """See `Action.perform`."""
        await enforcer.release(record.message)
        return Outcome("release", OutcomeState.DONE)
