"""`work`: a further process that judges what waits in the queue of a serving one."""

import asyncio
import logging
import signal
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from chat_moderator.cli.options import DATA, ConfigOption, DataOption, settings_file
from chat_moderator.cli.output import hint
from chat_moderator.errors import ConfigError, TransientError

if TYPE_CHECKING:
    from chat_moderator.config import Settings
    from chat_moderator.moderator.moderator import Moderator
    from chat_moderator.queues.embedded import EmbeddedQueue
    from chat_moderator.store.database import Command, Query
    from chat_moderator.store.socket import RemoteStore
    from chat_moderator.types import Record

log = logging.getLogger(__name__)

DRAIN: Final = 9.0
RELOAD: Final = 1.0
R = TypeVar("R")


def work(data_dir: DataOption = DATA, config: ConfigOption = None) -> None:
    """Help a server to judge its queue.

    Runs beside a `serve` on the same data directory, until SIGTERM or Ctrl-C. While nobody serves the directory it
    waits, and tries again with growing pauses.
    """
    from chat_moderator import config as configuration  # noqa: PLC0415
    from chat_moderator import log as logs  # noqa: PLC0415

    path = settings_file(config)
    settings = configuration.read(path)
    logs.configure(settings.log.format, settings.log.level)
    if not data_dir.is_dir():
        raise ConfigError("data_dir", f"{data_dir} is not a directory: name the one that `serve` has with --data-dir")
    asyncio.run(_work(settings, data_dir, path))


class ServedStore:
    """A `Store` that another process owns: connects when it is needed, again when that process was gone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._remote: RemoteStore | None = None
        self._connecting = asyncio.Lock()

    async def execute(self, command: "Command[R]") -> R:
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

    async def ask(self, query: "Query[R]") -> R:
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

    async def _connected(self) -> "RemoteStore":
        from chat_moderator.store.socket import RemoteStore  # noqa: PLC0415

        async with self._connecting:
            if self._remote is None:
                try:
                    self._remote = await RemoteStore.connect(self._directory)
                except ConfigError as problem:
                    raise TransientError(problem.problem) from problem
                log.info("works for the process that serves %s", self._directory)
            return self._remote

    async def _lost(self, remote: "RemoteStore", problem: TransientError) -> None:
        # Its subclasses are the store's own answers; the bare error says that there is no connection.
        if type(problem) is TransientError and self._remote is remote:
            self._remote = None
            await remote.aclose()


class Progress:
    """Counts what was decided; an `Observer`."""

    def __init__(self) -> None:
        self.messages = 0

    def decided(self, records: Sequence["Record"]) -> None:
        """See `Observer.decided`."""
        self.messages += len(records)


async def _work(settings: "Settings", directory: Path, path: Path | None) -> None:
    from chat_moderator.app import build_cascade, build_policy  # noqa: PLC0415
    from chat_moderator.moderator.moderator import Moderator  # noqa: PLC0415
    from chat_moderator.moderator.worker import Worker  # noqa: PLC0415
    from chat_moderator.store.sqlite_audit import SqliteAudit  # noqa: PLC0415

    store, progress = ServedStore(directory), Progress()
    policy = build_policy(settings, _rule_failed)
    moderator = Moderator(build_cascade(settings), policy, performable=_performable(settings))
    queue = _queue(settings, store)
    worker = Worker(queue, moderator, SqliteAudit(store), progress, config=settings.worker)
    running = asyncio.create_task(worker.run())
    watching = asyncio.create_task(_watch(moderator, path))
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    hint(f"works on the queue of {directory}; Ctrl-C or SIGTERM ends it")
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    worker.stop()
    await asyncio.wait({running}, timeout=DRAIN)
    for task in (running, watching, stopping):
        task.cancel()
    await asyncio.gather(running, watching, stopping, return_exceptions=True)
    await moderator.aclose()
    await store.aclose()
    log.info("stopped after %d messages", progress.messages)


def _queue(settings: "Settings", store: ServedStore) -> "EmbeddedQueue":
    from chat_moderator import registry  # noqa: PLC0415
    from chat_moderator.queues.embedded import EmbeddedQueue  # noqa: PLC0415

    own = {key: value for key, value in settings.queue.items() if key != "type"}
    if settings.queue.get("type") != "embedded":
        raise ConfigError("queue.type", "`work` shares the queue of a serving process, which has to be embedded")
    return EmbeddedQueue(store, registry.configure("queue", "embedded", own, path="queue")[1])


def _performable(settings: "Settings") -> Callable[[str], Collection[str]]:
    """What the serving process can carry out for a client; it has the same settings."""
    from chat_moderator import registry  # noqa: PLC0415
    from chat_moderator.app import MODERATORS  # noqa: PLC0415
    from chat_moderator.sources.webchat import CLIENT  # noqa: PLC0415

    actions = {name for name in registry.names("action") if name != "alert" or name in settings.actions}
    return lambda client: actions if client == CLIENT else actions.intersection(MODERATORS)


async def _watch(moderator: "Moderator", path: Path | None) -> None:
    """Puts an edited policy in force; a broken one changes nothing."""
    from chat_moderator import config  # noqa: PLC0415
    from chat_moderator.app import build_policy  # noqa: PLC0415

    known = _stamp(path)
    while path is not None:
        await asyncio.sleep(RELOAD)
        if (found := _stamp(path)) == known:
            continue
        known = found
        try:
            moderator.policy = build_policy(config.read(path), _rule_failed)
            log.info("policy %s is in force", moderator.policy.version)
        except ConfigError as problem:
            log.error("not reloaded, the old policy stays in force: %s", problem)  # noqa: TRY400


def _stamp(path: Path | None) -> tuple[int, int] | None:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found is not None else None


def _rule_failed(rule: str) -> None:
    log.warning("rule %r failed on a message, which is held", rule)
