"""Takes a message out of sight until a human has looked at it."""

from chat_moderator.protocols import Enforcer, HoldingEnforcer
from chat_moderator.types import Outcome, OutcomeState, Record


class HoldAction:
    """Deletes on platforms that show first and hold nothing; the review keeps the text, and approving releases it."""

    repeatable = True

    async def perform(self, record: Record, enforcer: Enforcer) -> Outcome:
        """See `Action.perform`."""
        if isinstance(enforcer, HoldingEnforcer):
            await enforcer.hold(record.message, reason=record.decision.rule)
        else:
            await enforcer.delete(record.message, reason=record.decision.rule)
        return Outcome("hold", OutcomeState.DONE)
