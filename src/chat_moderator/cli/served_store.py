"""The store of a process that may come and go."""

import asyncio
import logging
from pathlib import Path
from typing import TypeVar

from chat_moderator.errors import ConfigError, TransientError
from chat_moderator.store.database import Command, Query
from chat_moderator.store.socket import RemoteStore

log = logging.getLogger(__name__)

R = TypeVar("R")


class ServedStore:
    """A `Store` that another process owns: connects when it is needed, again when that process was gone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._remote: RemoteStore | None = None
        self._connecting = asyncio.Lock()

    async def execute(self, command: Command[R]) -> R:
        """See `Store.execute`.

        Raises:
            TransientError: nobody serves the directory for now.
        """
        remote = await self._connected()
        try:
            return await remote.execute(command)
        except TransientError as problem:
            await self._lost(remote, problem)
            raise

    async def ask(self, query: Query[R]) -> R:
        """See `Store.ask`.

        Raises:
            TransientError: nobody serves the directory for now.
        """
        remote = await self._connected()
        try:
            return await remote.ask(query)
        except TransientError as problem:
            await self._lost(remote, problem)
            raise

    async def aclose(self) -> None:
        """Ends the connection."""
        if self._remote is not None:
            await self._remote.aclose()

    async def _connected(self) -> RemoteStore:
        async with self._connecting:
            if self._remote is None:
                try:
                    self._remote = await RemoteStore.connect(self._directory)
                except ConfigError as problem:
                    raise TransientError(problem.problem) from problem
                log.info("works for the process that serves %s", self._directory)
            return self._remote

    async def _lost(self, remote: RemoteStore, problem: TransientError) -> None:
        # Its subclasses are the store's own answers; the bare error says that there is no connection.
        if type(problem) is TransientError and self._remote is remote:
            self._remote = None
            await remote.aclose()
