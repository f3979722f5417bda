"""The connections to platforms that the settings name: each a source, its enforcer, and an executor of its own."""

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

from chat_moderator import registry
from chat_moderator.config import Settings
from chat_moderator.errors import ConfigError
from chat_moderator.moderator.dry_run import DryRunEnforcer
from chat_moderator.moderator.ingest import Ingest, SourceObserver
from chat_moderator.moderator.lease import ConnectionLease, Leases
from chat_moderator.moderator.outbox import OutboxExecutor
from chat_moderator.protocols import Action, Enforcer, Queue, Source, WebhookSource
from chat_moderator.sources import webchat
from chat_moderator.store.database import Store

RESERVED: Final = frozenset({"generic", "webchat", "webhook"})
"""Names of doors that are always there."""

ANYWHERE: Final = frozenset({"alert", "release"})
"""Actions that need no platform."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class ConnectionObserver(SourceObserver, Protocol):
    """Is told how connections do."""

    def troubled(self, source: str, problems: int) -> None:
        """So many problems of a connection wait for the operator."""


class Connections:
    """All connections of `[[sources]]`, started and stopped together; one that fails leaves the others alone.

    Args:
        leases: of the store, where several processes share it: one of them then acts for each connection.

    Raises:
        ConfigError: a source is unknown, its settings are wrong, or two connections have the same name.
        MissingExtraError: the library of a source is not installed.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        queue: Queue,
        actions: Mapping[str, Action],
        observer: ConnectionObserver,
        *,
        leases: Leases | None = None,
    ) -> None:
        self._observer = observer
        self._ingests: dict[str, Ingest] = {}
        self._executors: dict[str, OutboxExecutor] = {}
        self._reading: list[asyncio.Task[None]] = []
        for index, table in enumerate(settings.sources):
            path = f"sources[{index}]"
            name, source, enforce = _source(table, path)
            if name in self._ingests:
                raise ConfigError(f"{path}.name", f"there are two connections {name!r}; give each a name of its own")
            ingest = self._ingests[name] = Ingest(name, source, queue, store, observer)
            if isinstance(source, Enforcer):
                enforcer = source if enforce else DryRunEnforcer(source)
                lease = ConnectionLease(leases, name) if leases else None
                self._executors[name] = OutboxExecutor(
                    store, actions, {}, enforcer, only=name, lease=lease, report=ingest.report, config=settings.outbox
                )

    @property
    def acting(self) -> tuple[str, ...]:
        """The names of connections that have an executor of their own."""
        return tuple(self._executors)

    @property
    def problems(self) -> tuple[str, ...]:
        """What the operator has to mend, each in one sentence that names the connection."""
        return tuple(problem for ingest in self._ingests.values() for problem in ingest.problems)

    @property
    def gaps(self) -> tuple[str, ...]:
        """Where messages may have been missed since the start, a sentence a connection."""
        return tuple(told for ingest in self._ingests.values() if (told := ingest.gap_told))

    def start(self) -> list[asyncio.Task[None]]:
        """Begins to read and to act; returns the tasks that act, which end after `stop`."""
        self._reading = [
            asyncio.create_task(ingest.run(), name=f"source {name}") for name, ingest in self._ingests.items()
        ]
        return [
            asyncio.create_task(executor.run(), name=f"outbox {name}") for name, executor in self._executors.items()
        ]

    async def stop(self) -> None:
        """Ends reading at once; lets the calls under way end."""
        for executor in self._executors.values():
            executor.stop()
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    async def aclose(self) -> None:
        """Lets go of all platforms, once nothing is done there any more."""
        closing = [ingest.source.aclose() for ingest in self._ingests.values()]
        await asyncio.gather(*closing, return_exceptions=True)

    def wake(self) -> None:
        """Looks for actions to perform now."""
        for executor in self._executors.values():
            executor.wake()

    def measure(self) -> None:
        """Tells the observer how many problems each connection has."""
        for name, ingest in self._ingests.items():
            self._observer.troubled(name, ingest.troubles)

    def webhook(self, name: str) -> tuple[WebhookSource, Ingest] | None:
        """The connection that takes webhooks under a name, and what it hands over to."""
        ingest = self._ingests.get(name)
        if ingest is None or not isinstance(ingest.source, WebhookSource):
            return None
        return ingest.source, ingest


def performable(settings: Settings) -> Callable[[str], Collection[str]]:
    """Which actions can be carried out for the messages of a client."""
    everything = frozenset(registry.names("action"))
    quiet = everything if "alert" in settings.actions else everything - {"alert"}
    by_client = {webchat.CLIENT: quiet}
    for table in settings.sources:
        by_client[str(table.get("name") or table.get("type"))] = everything if table.get(_PLACE) else quiet
    others = quiet & ANYWHERE
    return lambda client: by_client.get(client, others)


def _source(table: dict[str, Any], path: str) -> tuple[str, Source, bool]:
    """The name, the source and whether it may act."""
    rest = dict(table)
    kind = rest.pop("type", None)
    if not isinstance(kind, str) or kind == webchat.CLIENT:
        kinds = [name for name in registry.names("source") if name != webchat.CLIENT]
        raise ConfigError(f"{path}.type", f"one of {', '.join(kinds)} is needed")
    loaded, own = registry.configure("source", kind, rest, path=path)
    name = getattr(own, "name", "") or kind
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise ConfigError(
            f"{path}.name",
            f"{name!r} is no name for a connection; allowed are 1 to 63 of a-z, 0-9, _ and -, and none of "
            f"{', '.join(sorted(RESERVED))}",
        )
    try:
        return name, loaded(own), getattr(own, "enforce", False)
    except ConfigError as problem:
        raise ConfigError(f"{path}.{problem.path}".rstrip("."), problem.problem) from problem


_PLACE: Final = "moderators_channel"
