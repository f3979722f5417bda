"""The right to act for a connection, which one process at a time has where several share a store."""

import contextlib
import logging
import secrets
import time
from typing import Final, Protocol

from chat_moderator.errors import TransientError

SECONDS: Final = 15.0
"""How long a lease lasts without being renewed: after so long another process acts in the place of one that is gone."""

log = logging.getLogger(__name__)


class Leases(Protocol):
    """Where leases are kept, with a clock of its own."""

    async def take_lease(self, name: str, holder: str, *, seconds: float) -> bool:
        """Takes or renews a lease; False while another holder has it."""

    async def free_lease(self, name: str, holder: str) -> None:
        """Gives a lease up."""


class ConnectionLease:
    """One process's claim to act for a connection.

    Attributes:
        every: seconds after which it is to be renewed, or tried for again.
    """

    def __init__(self, leases: Leases, name: str, *, seconds: float = SECONDS) -> None:
        self._leases = leases
        self._name = name
        self._holder = secrets.token_hex(8)
        self._seconds = seconds
        self._until = 0.0
        self.every = seconds / 3

    @property
    def sure(self) -> bool:
        """Whether no other process can have it yet."""
        return time.monotonic() < self._until

    async def held(self) -> bool:
        """Takes or renews it.

        Raises:
            TransientError: the store cannot say.
        """
        had, asked = self.sure, time.monotonic()
        taken = await self._leases.take_lease(self._name, self._holder, seconds=self._seconds)
        self._until = asked + self._seconds if taken else 0.0
        if taken is not had:
            log.info("%s for %s", "acts" if taken else "another process acts", self._name)
        return taken

    async def free(self) -> None:
        """Gives it up, so that another process need not wait."""
        self._until = 0.0
        with contextlib.suppress(TransientError):
            await self._leases.free_lease(self._name, self._holder)
