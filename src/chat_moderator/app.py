"""The composition root: the only place where components are wired together."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chat_moderator import config, interpreter, registry
from chat_moderator.config import Settings
from chat_moderator.connections import Connections, performable
from chat_moderator.errors import ChatModeratorError, ConfigError, TransientError
from chat_moderator.moderator.cascade import Cascade, Promises
from chat_moderator.moderator.exits import read as read_exits
from chat_moderator.moderator.feed import SinkFeed
from chat_moderator.moderator.lease import ConnectionLease
from chat_moderator.moderator.moderator import Moderator, Recorder
from chat_moderator.moderator.outbox import OutboxExecutor
from chat_moderator.moderator.recent import Recent
from chat_moderator.moderator.worker import Worker
from chat_moderator.policy.thresholds import ThresholdPolicy
from chat_moderator.protocols import Action, Classifier, Queue, Sink
from chat_moderator.queues.embedded import EmbeddedQueue
from chat_moderator.sinks.metrics import Metrics
from chat_moderator.sources import webchat
from chat_moderator.sources.webchat import WebChat
from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.database import Database, Store
from chat_moderator.store.divided import DividedStore
from chat_moderator.store.outbox import OutboxDepth
from chat_moderator.store.retention import EraseAuthor, Forget
from chat_moderator.store.socket import StoreServer
from chat_moderator.store.stored_audit import StoredAudit
from chat_moderator.types import Struct, now

if TYPE_CHECKING:
    from chat_moderator.store.postgres import PostgresStore

log = logging.getLogger(__name__)

RELOAD: Final = 1.0
RETAIN: Final = 3600.0
DRAIN: Final = timedelta(seconds=6)
OTHERS: Final = "*"
"""The lease of whoever acts for all that are no connections."""

RECALLED: Final = 2000
"""Of the last records, so many at most are looked at for what authors wrote just before a restart."""


class Health(Struct, frozen=True):
    """`status` is ok or degraded; `problems` says why; `gaps`: where messages may have been missed since the start."""

    status: str
    problems: tuple[str, ...]
    gaps: tuple[str, ...]
    model: str
    policy: str
    threshold_from_environment: bool


class Signal:
    """Lets many wait for the next commit of decisions."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def fire(self) -> None:
        """Wakes all who wait."""
        for event in self._waiting:
            event.set()

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[asyncio.Event]:
        """An event that is set by every commit; whoever waits clears it before looking."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            yield event
        finally:
            self._waiting.discard(event)


def build_cascade(settings: Settings) -> Cascade:
    """The cascade that the settings name.

    Raises:
        ConfigError: a classifier is unknown or its settings are wrong.
    """

    def build(names: tuple[str, ...], path: str) -> list[tuple[str, Classifier]]:
        built = []
        for index, name in enumerate(names):
            table = dict(settings.classifiers.get(name, {}))
            registry.load("classifier", name, path=f"{path}[{index}]")
            kind, own = registry.configure("classifier", name, table, path=f"classifiers.{name}")
            built.append((name, kind(own) if own is not None else kind()))
        return built

    if not settings.cascade.tiers:
        raise ConfigError("cascade.tiers", f"at least one of {', '.join(registry.names('classifier'))} is needed")
    tiers = build(settings.cascade.tiers, "cascade.tiers")
    for index, (name, classifier) in enumerate(tiers):
        if getattr(classifier, "only_adds", False):
            raise ConfigError(f"cascade.tiers[{index}]", f"{name!r} may only add severity: put it in cascade.hints")
    hinting = build(settings.cascade.hints, "cascade.hints")
    if len(tiers) == 1:
        return Cascade(tiers, hinting)
    from chat_moderator.classifiers.gate import EXITS, Gate  # noqa: PLC0415 -- only several tiers need it

    own = settings.cascade
    sample = read_exits(EXITS if own.exits == "bundled" else Path(own.exits), "cascade.exits")
    promises = Promises(sample=sample, max_disagreement=own.max_disagreement, max_missed=own.max_missed)
    # What the gate reads, the encoder need not read again.
    pieces = next((getattr(each, "pieces", None) for _, each in tiers if getattr(each, "bundled", False)), None)
    return Cascade(tiers, hinting, promises=promises, gate=Gate(pieces=pieces) if sample.gate else None)


def build_recent(settings: Settings) -> Recent:
    """What the settings let a moderator remember of each author."""
    return Recent(timedelta(seconds=settings.cascade.join_within))


def build_policy(settings: Settings, on_rule_failure: Callable[[str], None] = lambda _: None) -> ThresholdPolicy:
    """The policy that the settings describe; `on_rule_failure` is told the name of a rule that failed on a message.

    Raises:
        ConfigError: a threshold, an action or a rule is wrong.
    """
    return ThresholdPolicy(
        settings.policy,
        settings.communities,
        actions=registry.names("action"),
        on_rule_failure=on_rule_failure,
    )


def build_sinks(settings: Settings) -> list[tuple[str, Sink]]:
    """The sinks that the settings name, each with a name that lasts.

    Raises:
        ConfigError: a sink is unknown or its settings are wrong.
    """
    return [
        (f"{name}:{index}", kind(own))
        for index, table in enumerate(settings.sinks)
        for name, kind, own in [_typed("sink", table, f"sinks[{index}]")]
    ]


def build_queue(settings: Settings, store: Store) -> Queue:
    """The queue that the settings name; the embedded one on `store`, which is of one directory.

    Raises:
        ConfigError: it is unknown or its settings are wrong.
    """
    name, kind, own = _typed("queue", settings.queue, "queue")
    if name == "embedded":
        return EmbeddedQueue(store, own, with_audit=settings.store.get("type") == "sqlite")
    queue: Queue = kind(own)
    return queue


def build_shared(table: dict[str, Any]) -> "PostgresStore | None":
    """The store that processes share, by the table `[store]`; None where each directory has one of its own.

    Raises:
        ConfigError: it is unknown or its settings are wrong.
        MissingExtraError: its library is not installed.
    """
    name, kind, own = _typed("store", table, "store")
    return None if name == "sqlite" else kind(own)


class App:
    """Everything that serves: built from settings, started and stopped as one.

    Args:
        settings: as read.
        directory: of the data; created where its parent exists.
        path: of the settings' file, watched for changes; None where there is none.

    Raises:
        ConfigError: something in the settings or about the directory is wrong.
    """

    def __init__(self, settings: Settings, directory: Path, *, path: Path | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.signal = Signal()
        self._path = path
        self._stamp = stamp_of(path)
        self._refused = ""
        policy = build_policy(settings, self.metrics.rule_failed)
        self.actions = self._build_actions(settings)
        self.moderator = Moderator(
            build_cascade(settings), policy, performable=performable(settings), recent=build_recent(settings)
        )
        with contextlib.suppress(FileExistsError, FileNotFoundError, PermissionError):
            directory.mkdir()
        self._shared = build_shared(settings.store)
        self.database = Database(directory)
        self.store: Store = DividedStore(self._shared, self.database) if self._shared else self.database
        self.queue = build_queue(settings, self.database)
        self._sinks = build_sinks(settings)
        self.audit = StoredAudit(self.store)
        self.recorder = Recorder(self.moderator, self.audit, self.metrics)
        self.chat = WebChat(self.store, self.moderator.moderate, self.metrics.decided, config=settings.chat)
        self.worker = Worker(self.queue, self.moderator, self.audit, self.metrics, config=settings.worker)
        self.connections = Connections(
            settings, self.store, self.queue, self.actions, self.metrics, leases=self._shared
        )
        self.outbox = OutboxExecutor(
            self.store,
            self.actions,
            {webchat.CLIENT: self.chat},
            self.chat,
            without=self.connections.acting,
            lease=ConnectionLease(self._shared, OTHERS) if self._shared else None,
            config=settings.outbox,
        )
        self._feeds = [SinkFeed(self.store, name, sink) for name, sink in self._sinks]
        self._socket = StoreServer(self.store, directory, instead={EraseAuthor: self._erase})
        self._tasks: list[asyncio.Task[None]] = []
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to work; returns when messages are accepted."""
        interpreter.share()
        loop = asyncio.get_running_loop()
        (self._shared or self.database).on_append(partial(_call_soon, loop, self._appended))
        try:
            await self._recall()
        except TransientError as problem:
            log.warning("the store is not there yet: %s", problem)
        await self._socket.start()
        try:
            await self.queue.open()
        except TransientError as problem:
            log.warning("the queue is not there yet: %s", problem)
        running = {
            "worker": self.worker.run(),
            "outbox": self.outbox.run(),
            "watch": self._watch(),
            "retain": self._retain(),
        }
        running |= {name: feed.run() for (name, _), feed in zip(self._sinks, self._feeds, strict=True)}
        self._tasks = [asyncio.create_task(each, name=name) for name, each in running.items()]
        self._tasks += self.connections.start()
        if self._shared is not None:
            self._listening = asyncio.create_task(self._shared.listen(), name="store")
            self._tasks.append(self._listening)

    async def stop(self) -> None:
        """Finishes what was begun, within ten seconds; what is left stays queued."""
        worker, outbox, watch, retain, *others = self._tasks
        await self.connections.stop()
        self.worker.stop()
        self.outbox.stop()
        for feed in self._feeds:
            feed.stop()
        for endless in (watch, retain, self._listening):
            if endless is not None:
                endless.cancel()
        _, late = await asyncio.wait({worker, outbox, *others}, timeout=DRAIN.total_seconds())
        for task in late:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connections.aclose()
        await self.moderator.aclose()
        await self.queue.aclose()
        await self._socket.aclose()
        if self._shared is not None:
            await self._shared.aclose()
        await asyncio.to_thread(self.database.close)

    async def measure(self) -> None:
        """Brings the gauges up to date."""
        self.connections.measure()
        with contextlib.suppress(TransientError):  # what cannot be reached keeps its last numbers
            self.metrics.measured(await self.queue.depth(), await self.store.ask(OutboxDepth()))
        self.metrics.remembered(*self.moderator.cascade.memo)

    async def erase(self, author_id: str, platform: str | None) -> int:
        """Removes text and name of an author from every table and file; returns how many rows changed."""
        changed = await self.audit.erase(author_id, platform=platform)
        for feed in self._feeds:
            await feed.erase(author_id, platform=platform)
        return changed

    async def _erase(self, command: EraseAuthor) -> int:
        return await self.erase(command.author_id, command.platform)

    def health(self) -> Health:
        """How things stand."""
        problems = [self._refused] if self._refused else []
        problems += [f"{task.get_name()} has ended" for task in self._tasks if task.done()]
        problems += self.connections.problems
        if self._shared is not None and self._shared.problem:
            problems.append(self._shared.problem)
        return Health(
            status="degraded" if problems else "ok",
            problems=tuple(problems),
            gaps=self.connections.gaps,
            model=self.moderator.cascade.version,
            policy=self.moderator.policy.version,
            threshold_from_environment=config.threshold_from_environment(),
        )

    def reload(self) -> None:
        """Reads the settings' file again and puts its policy in force; a broken one changes nothing.

        Raises:
            ConfigError: what is wrong with the file.
        """
        try:
            settings = config.read(self._path)
            policy = build_policy(settings, self.metrics.rule_failed)
        except ConfigError as problem:
            self._refused = f"the configuration was not reloaded: {problem}"
            self.metrics.reloaded("refused")
            raise
        self._refused = ""
        self.moderator.policy = policy
        self.metrics.reloaded("ok")
        log.info("policy %s is in force", policy.version)

    async def _recall(self) -> None:
        """What authors wrote just before a restart."""
        since = now() - self.moderator.recent.within
        last = await self.store.ask(RecordsAfter(seq=0, limit=RECALLED, newest=True))
        self.moderator.recent.recall([record for record in last if record.decided_at >= since])

    def _appended(self, intended: bool) -> None:
        self.signal.fire()
        if intended:
            self.outbox.wake()
            self.connections.wake()
        for feed in self._feeds:
            feed.wake()

    def _build_actions(self, settings: Settings) -> dict[str, Action]:
        """Every registered action; those without settings as they are by default."""
        for name in settings.actions:
            registry.load("action", name, path=f"actions.{name}")
        actions: dict[str, Action] = {}
        for name in registry.names("action"):
            table = settings.actions.get(name)
            if table is None:
                actions[name] = registry.load("action", name, path=f"actions.{name}")()
                continue
            kind, own = registry.configure("action", name, table, path=f"actions.{name}")
            actions[name] = kind(own) if own is not None else kind()
        return actions

    async def _watch(self) -> None:
        while self._path is not None:
            await asyncio.sleep(RELOAD)
            stamp = stamp_of(self._path)
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self.reload()
                except ConfigError as problem:
                    log.error("not reloaded, the old policy stays in force: %s", problem)  # noqa: TRY400

    async def _retain(self) -> None:
        days = self.settings.retention.days
        while days:
            try:
                before = now() - timedelta(days=days)
                gone = 0
                while dropped := await self.store.execute(Forget(before=before.timestamp())):
                    gone += dropped
                if gone:
                    log.info("retention: %d records older than %d days are gone", gone, days)
            except ChatModeratorError as problem:
                log.warning("retention could not run: %s", problem)
            await asyncio.sleep(RETAIN)


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[bool], None], intended: bool) -> None:
    """From another thread; a loop that has ended needs no call."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, intended)


def _typed(kind: str, table: dict[str, Any], path: str) -> tuple[str, type[Any], Any]:
    rest = dict(table)
    name = rest.pop("type", None)
    if not isinstance(name, str):
        raise ConfigError(f"{path}.type", f"one of {', '.join(registry.names(kind))} is needed")
    return name, *registry.configure(kind, name, rest, path=path)


def stamp_of(path: Path | None) -> tuple[int, int] | None:
    """Tells two states of a file apart; None where there is none."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found is not None else None
