"""Dry run: what would be done is decided, kept and shown to the moderators, and left undone."""
# ruff: noqa: ARG002 -- nothing is done with anything

from datetime import timedelta
from typing import Final, NoReturn

from chat_moderator.errors import SkippedError
from chat_moderator.protocols import Enforcer
from chat_moderator.types import Message, Outcome, Record

REASON: Final = "dry run: this connection has enforce = false"


class DryRunEnforcer:
    """Stands before an enforcer and lets only alerts through; every other action ends as skipped."""

    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer

    async def delete(self, message: Message, *, reason: str) -> None:
        """Skipped."""
        _skip()

    async def timeout(self, message: Message, *, length: timedelta, reason: str) -> None:
        """Skipped."""
        _skip()

    async def reply(self, message: Message, *, text: str) -> None:
        """Skipped."""
        _skip()

    async def release(self, message: Message) -> None:
        """Skipped."""
        _skip()

    async def undo(self, message: Message, outcome: Outcome) -> None:
        """Skipped."""
        _skip()

    async def alert(self, record: Record) -> bool:
        """See `Enforcer.alert`."""
        return await self._enforcer.alert(record)


def _skip() -> NoReturn:
    raise SkippedError(REASON)
