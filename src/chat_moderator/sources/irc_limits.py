"""How fast lines may be sent: servers disconnect whoever sends faster."""

import asyncio
import time
from datetime import timedelta
from typing import Final

from chat_moderator.errors import TransientError

PATIENCE: Final = 20.0
"""Seconds that a call waits for its turn; whoever would wait longer is told when to come back."""


class Pace:
    """A burst of lines, then so many a second. Lines that were asked for first go first.

    Args:
        rate: lines a second.
        burst: lines that may be sent at once.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._gap = 1 / rate
        self._slack = self._gap * burst
        self._due = 0.0

    async def wait(self, lines: int) -> None:
        """Returns when that many lines may be sent.

        Raises:
            TransientError: that would take too long.
        """
        now = time.monotonic()
        due = max(self._due, now - self._slack) + self._gap * lines
        if due - now > PATIENCE:
            raise TransientError("too much is to be sent at once", retry_after=timedelta(seconds=due - now - PATIENCE))
        self._due = due
        if due > now:
            await asyncio.sleep(due - now)
