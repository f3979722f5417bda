"""Removes a blocked message."""

from chat_moderator.protocols import Enforcer
from chat_moderator.types import Outcome, OutcomeState, Record


class DeleteAction:
    """Deletes; already gone is success."""

    repeatable = True

    async def perform(self, record: Record, enforcer: Enforcer) -> Outcome:
        """See `Action.perform`."""
        await enforcer.delete(record.message, reason=record.decision.rule)
        return Outcome("delete", OutcomeState.DONE)
