"""What `work` runs: a worker with a moderator of its own on the queue of another process."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chat_moderator import config, interpreter
from chat_moderator.app import build_cascade, build_policy, build_queue, build_recent, build_shared, stamp_of
from chat_moderator.cli.output import hint
from chat_moderator.cli.served_store import ServedStore
from chat_moderator.config import Settings
from chat_moderator.connections import performable
from chat_moderator.errors import ConfigError, TransientError
from chat_moderator.moderator.moderator import Moderator
from chat_moderator.moderator.worker import Worker
from chat_moderator.store.stored_audit import StoredAudit
from chat_moderator.types import Record

log = logging.getLogger(__name__)

DRAIN: Final = 9.0
RELOAD: Final = 1.0


class WorkerProcess:
    """Judges what the queue holds.

    A store and a queue that are no servers of their own are reached through the process that serves a directory.

    Args:
        settings: the same as the serving process has.
        path: of the settings' file, whose policy is read again when it changes; None where there is none.

    Raises:
        ConfigError: something in the settings is wrong, or its queue cannot be shared.
    """

    def __init__(self, settings: Settings, directory: Path, path: Path | None) -> None:
        if settings.queue.get("type") == "memory":
            raise ConfigError("queue.type", "`work` cannot reach another process's memory: use embedded or a broker")
        self._embedded = settings.queue.get("type") == "embedded"
        self._directory = directory
        self._path = path
        self._store = ServedStore(directory)
        self._shared = build_shared(settings.store)
        if (self._shared is None or self._embedded) and not directory.is_dir():
            raise ConfigError(
                "data_dir", f"{directory} is not a directory: name the one that `serve` has with --data-dir"
            )
        self._moderator = Moderator(
            build_cascade(settings),
            build_policy(settings, _rule_failed),
            performable=performable(settings),
            recent=build_recent(settings),
        )
        self._queue = build_queue(settings, self._store)
        self._worker = Worker(
            self._queue,
            self._moderator,
            StoredAudit(self._shared or self._store),
            self,
            config=settings.worker,
        )
        self._messages = 0

    def decided(self, records: Sequence[Record]) -> None:
        """See `Observer.decided`."""
        self._messages += len(records)

    async def run(self) -> None:
        """Works until SIGTERM or SIGINT, then finishes what it has leased, within ten seconds."""
        interpreter.share()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        for opened in (self._queue, self._shared):
            with contextlib.suppress(TransientError):  # the worker tries again and tells of it
                if opened is not None:
                    await opened.open()
        hint(f"works on the {self._place}; Ctrl-C stops it")
        working = asyncio.create_task(self._worker.run())
        watching = asyncio.create_task(self._watch())
        await stop.wait()
        self._worker.stop()
        await asyncio.wait({working}, timeout=DRAIN)
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
        await self._moderator.aclose()
        await self._queue.aclose()
        await self._store.aclose()
        if self._shared is not None:
            await self._shared.aclose()
        log.info("stopped after %d messages", self._messages)

    @property
    def _place(self) -> str:
        return f"queue of {self._directory}" if self._shared is None or self._embedded else "broker's queue"

    async def _watch(self) -> None:
        """Puts an edited policy in force; a broken one changes nothing."""
        known = stamp_of(self._path)
        while self._path is not None:
            await asyncio.sleep(RELOAD)
            if (found := stamp_of(self._path)) == known:
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
