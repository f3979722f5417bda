"""`work`: a further process that judges what waits in the queue of a serving one."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from chat_moderator.cli.options import DATA, ConfigOption, DataOption, settings_file
from chat_moderator.errors import ChatModeratorError, ConfigError, TransientError

if TYPE_CHECKING:
    from chat_moderator.config import Settings
    from chat_moderator.moderator.moderator import Moderator
    from chat_moderator.store.database import Command, Query
    from chat_moderator.store.socket import RemoteStore
    from chat_moderator.types import Record

log = logging.getLogger(__name__)

DRAIN: Final = 9.0
RELOAD: Final = 1.0
R = TypeVar("R")


def work(data_dir: DataOption = DATA, config: ConfigOption = None) -> None:
    """Judge what waits in the queue of a `serve` on the same data directory, until SIGTERM.

    While nobody serves the directory it waits, and tries again with growing pauses.
    """
    from chat_moderator import config as configuration  # noqa: PLC0415
    from chat_moderator import log as logs  # noqa: PLC0415

    path = settings_file(config)
    settings = configuration.read(path)
    logs.configure(settings.log.format, settings.log.level)
    if not data_dir.is_dir():
        raise ConfigError("data_dir", f"{data_dir} is not a directory: name the one that `serve` uses with --data-dir")
    asyncio.run(_work(settings, data_dir, path))


class ServedStore:
    """A `Store` that another process owns; connects when it is needed, and again after that process was gone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._remote: RemoteStore | None = None
        self._connecting = asyncio.Lock()

    async def execute(self, command: "Command[R]") -> R:
        """See `Store.execute`."""
        return await (await self._connected()).execute(command)

    async def ask(self, query: "Query[R]") -> R:
        """See `Store.ask`."""
        return await (await self._connected()).ask(query)

    async def aclose(self) -> None:
        """Ends the connection."""
        if self._remote is not None:
            await self._remote.aclose()
