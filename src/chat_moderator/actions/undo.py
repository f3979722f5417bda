"""Takes back what was done about a message, after a moderator said that it should not have been."""

from chat_moderator.errors import PermanentError
from chat_moderator.protocols import Enforcer
from chat_moderator.types import Outcome, OutcomeState, Record


class UndoAction:
    """Undoes every action that was done; what cannot be undone is said in the outcome and stops nothing else."""

    repeatable = True

    async def perform(self, record: Record, enforcer: Enforcer) -> Outcome:
        """See `Action.perform`."""
        done = [each for each in record.outcomes if each.state is OutcomeState.DONE and each.action not in _TOLD]
        remains: list[str] = []
        for outcome in done:
            try:
                await enforcer.undo(record.message, outcome)
            except PermanentError as problem:
                remains.append(f"{outcome.action}: {problem}")
        state = OutcomeState.FAILED if remains and len(remains) == len(done) else OutcomeState.DONE
        return Outcome("undo", state, "; ".join(remains))


_TOLD = frozenset({"alert", "reply", "undo"})
"""What was said cannot be unsaid."""
