"""What a tier that costs money or somebody else's patience may use: calls a minute, money a day, and pauses."""

from collections import deque
from collections.abc import Callable
from datetime import date, datetime
from typing import Final

FAILURES: Final = 5
"""In a row, after which the server is left alone."""
PAUSE: Final = 30.0
LONGEST_PAUSE: Final = 300.0
_MINUTE: Final = 60.0


class Allowance:
    """Says whether a call may be made; used from one thread.

    Args:
        per_minute: calls.
        per_day: money, in the operator's unit, from midnight UTC on; 0 is no limit.
        monotonic: seconds that only grow.
        clock: the time in UTC.
    """

    def __init__(
        self, per_minute: int, per_day: float, monotonic: Callable[[], float], clock: Callable[[], datetime]
    ) -> None:
        self._per_minute = per_minute
        self._per_day = per_day
        self._monotonic = monotonic
        self._clock = clock
        self._calls: deque[float] = deque()
        self._day: date | None = None
        self._spent = 0.0
        self._failures = 0
        self._paused_until = 0.0
        self._trying = False

    def ask(self, cost: float) -> str:
        """Why not, or "" and the call and its cost are counted; `settle` says what it really was."""
        now, today = self._monotonic(), self._clock().date()
        if today != self._day:
            self._day, self._spent = today, 0.0
        while self._calls and self._calls[0] <= now - _MINUTE:
            self._calls.popleft()
        if now < self._paused_until or self._trying:
            return "paused"
        if len(self._calls) >= self._per_minute:
            return "calls a minute"
        if self._per_day and self._spent + cost > self._per_day:
            return "budget"
        self._trying = self._failures >= FAILURES
        self._calls.append(now)
        self._spent += cost
        return ""

    def settle(self, expected: float, cost: float) -> None:
        """A call that `ask` let through with `expected` has cost `cost`."""
        self._spent = max(0.0, self._spent + cost - expected)

    def answered(self) -> None:
        """The server works."""
        self._failures, self._trying = 0, False

    def failed(self, retry_after: float | None = None) -> None:
        """It does not; after five times in a row nobody is sent for 30 s, or as long as it asks, and then one call."""
        self._failures += 1
        self._trying = False
        if self._failures >= FAILURES or retry_after is not None:
            pause = min(PAUSE if retry_after is None else retry_after, LONGEST_PAUSE)
            self._paused_until = max(self._paused_until, self._monotonic() + pause)
