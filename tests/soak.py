"""How large the fault runs are: small in `make test`, large in `make soak`, which also says how far it is."""

import os
import sys
import time

SOAK = "CHAT_MODERATOR_SOAK" in os.environ
MESSAGES = int(os.environ.get("CHAT_MODERATOR_SOAK", "5000"))
ROUNDS = 20 if SOAK else 3
"""How often a process is ended under load."""


class Progress:
    """A line on standard error, renewed twice a second, while soaking; nothing otherwise."""

    def __init__(self, label: str, total: int) -> None:
        self._label = label
        self._total = total
        self._began = time.monotonic()
        self._shown = 0.0

    def show(self, done: int) -> None:
        """How many are done by now."""
        at = time.monotonic()
        if SOAK and (at - self._shown >= 0.5 or done >= self._total):
            self._shown = at
            end = "\n" if done >= self._total else ""
            line = f"\r  {self._label}: {done:,} of {self._total:,} after {at - self._began:.0f} s "
            sys.stderr.write(line + end)
            sys.stderr.flush()
