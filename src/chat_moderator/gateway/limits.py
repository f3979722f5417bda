"""What a caller may send: sizes, lengths and rates."""

import time
from collections.abc import Callable
from typing import Annotated, Final

from msgspec import Meta

BODY: Final = 256 * 1024
BATCH_BODY: Final = 1024 * 1024
FRAME: Final = 128 * 1024
"""Bytes: room for the longest text, each of its characters escaped."""

TEXT: Final = 20_000
CHAT_TEXT: Final = 2_000
BATCH: Final = 10_000
PAGE: Final = 1_000
LARGEST: Final = 2**63 - 1
BODY_TIMEOUT: Final = 30.0
"""Seconds a body may take to arrive."""

VERDICT_TIMEOUT: Final = 30.0
"""Seconds that a caller who waits for a verdict is kept waiting."""

Text = Annotated[str, Meta(max_length=TEXT)]
Name = Annotated[str, Meta(max_length=256)]
Identifier = Annotated[str, Meta(min_length=1, max_length=256)]
Number = Annotated[int, Meta(ge=0, le=LARGEST)]
PageSize = Annotated[int, Meta(ge=1, le=PAGE)]


class TokenBucket:
    """Lets `rate` a second through, and `burst` at once.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, rate: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._at = clock()

    def take(self) -> float:
        """Takes one; 0 when there was one, else the seconds until there is."""
        at = self._clock()
        self._left = min(self._burst, self._left + (at - self._at) * self._rate)
        self._at = at
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / self._rate

    @property
    def left(self) -> float:
        """How many may pass at once now, as of the last `take`."""
        return self._left

    @property
    def full_in(self) -> float:
        """Seconds from the last `take` until `burst` may pass at once again."""
        return (self._burst - self._left) / self._rate
