"""What `work` runs: a worker with a moderator of its own on the queue of another process."""

import asyncio
import logging
import signal
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from chat_moderator import config, registry
from chat_moderator.app import MODERATORS, build_cascade, build_policy
from chat_moderator.cli.output import hint
from chat_moderator.cli.served_store import ServedStore
from chat_moderator.config import Settings
from chat_moderator.errors import ConfigError
from chat_moderator.moderator.moderator import Moderator
from chat_moderator.moderator.worker import Worker
from chat_moderator.queues.embedded import EmbeddedQueue
from chat_moderator.sources import webchat
from chat_moderator.store.sqlite_audit import SqliteAudit
from chat_moderator.types import Record

log = logging.getLogger(__name__)

DRAIN: Final = 9.0
RELOAD: Final = 1.0


class WorkerProcess:
    """Leases and settles through the process that serves a directory.

    Args:
        settings: the same as the serving process has.
        path: of the settings' file, whose policy is read again when it changes; None where there is none.

    Raises:
        ConfigError: something in the settings is wrong, or the queue is not the embedded one.
    """

    def __init__(self, settings: Settings, directory: Path, path: Path | None) -> None:
        own = {key: value for key, value in settings.queue.items() if key != "type"}
        if settings.queue.get("type") != "embedded":
            raise ConfigError("queue.type", "`work` shares the queue of a serving process, which has to be embedded")
        self._directory = directory
        self._path = path
        self._store = ServedStore(directory)
        self._actions = {name for name in registry.names("action") if name != "alert" or name in settings.actions}
        self._moderator = Moderator(
            build_cascade(settings), build_policy(settings, _rule_failed), performable=self._performable
        )
        self._worker = Worker(
            EmbeddedQueue(self._store, registry.configure("queue", "embedded", own, path="queue")[1]),
            self._moderator,
            SqliteAudit(self._store),
            self,
            config=settings.worker,
        )
        self._messages = 0

    def decided(self, records: Sequence[Record]) -> None:
        """See `Observer.decided`."""
        self._messages += len(records)

    async def run(self) -> None:
        """Works until SIGTERM or SIGINT, then finishes what it has leased, within ten seconds."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        hint(f"works on the queue of {self._directory}; Ctrl-C stops it")
        working = asyncio.create_task(self._worker.run())
        watching = asyncio.create_task(self._watch())
        await stop.wait()
        self._worker.stop()
        await asyncio.wait({working}, timeout=DRAIN)
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
        await self._moderator.aclose()
        await self._store.aclose()
        log.info("stopped after %d messages", self._messages)

    def _performable(self, client: str) -> Collection[str]:
        """What the serving process can carry out for a client."""
        return self._actions if client == webchat.CLIENT else self._actions.intersection(MODERATORS)

    async def _watch(self) -> None:
        """Puts an edited policy in force; a broken one changes nothing."""
        known = _stamp(self._path)
        while self._path is not None:
            await asyncio.sleep(RELOAD)
            if (found := _stamp(self._path)) == known:
                continue
            known = found
            try:
                policy = build_policy(config.read(self._path), _rule_failed)
            except ConfigError as problem:
                log.error("not reloaded, the old policy stays in force: %s", problem)  # noqa: TRY400
                continue
            self._moderator.policy = policy
            log.info("policy %s is in force", policy.version)


def _rule_failed(rule: str) -> None:
    log.warning("rule %r failed on a message, which is held", rule)


def _stamp(path: Path | None) -> tuple[int, int] | None:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found is not None else None
