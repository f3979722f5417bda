"""Tells the author what became of the message and why."""

from chat_moderator.protocols import Enforcer
from chat_moderator.types import Outcome, OutcomeState, Record


class ReplyAction:
    """Sends the decision's reply; skipped where the policy has none."""

    repeatable = False

    async def perform(self, record: Record, enforcer: Enforcer) -> Outcome:
        """See `Action.perform`."""
        if not record.decision.reply:
            return Outcome("reply", OutcomeState.SKIPPED, "the policy has no text for it")
        await enforcer.reply(record.message, text=record.decision.reply)
        return Outcome("reply", OutcomeState.DONE)
