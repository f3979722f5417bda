"""The database for a command: through the process that serves it, or opened here when none does."""

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from chat_moderator.app import build_shared
from chat_moderator.cli.options import settings_file
from chat_moderator.config import read_store
from chat_moderator.errors import ConfigError
from chat_moderator.store.database import LOCK, Database, Store
from chat_moderator.store.divided import DividedStore
from chat_moderator.store.socket import RemoteStore

if TYPE_CHECKING:
    from chat_moderator.store.postgres import PostgresStore

PATIENCE: Final = 5.0
"""Seconds that a process may hold the directory without serving it, as it does while it starts or ends."""

T = TypeVar("T")


@contextlib.asynccontextmanager
async def open_store(
    directory: Path, *, create: bool = False, shared: Callable[[], "PostgresStore | None"] = lambda: None
) -> AsyncIterator[Store]:
    """The store of a data directory, whether a process serves it or not.

    Args:
        directory: of the data.
        create: makes the directory where it is missing.
        shared: what processes share, asked for while no process serves the directory; see `shared_by`.

    Raises:
        ConfigError: the directory is missing or cannot be used, or the store of the settings.
    """
    if create:
        make(directory)
    store = await _open(directory)
    if isinstance(store, RemoteStore):
        async with contextlib.aclosing(store):
            yield store
        return
    try:
        other = shared()
        if other is None:
            yield store
        else:
            async with contextlib.aclosing(other):
                yield DividedStore(other, store)
    finally:
        await asyncio.to_thread(store.close)


def use_store(
    directory: Path,
    work: Callable[[Store], Awaitable[T]],
    *,
    create: bool = False,
    shared: Callable[[], "PostgresStore | None"] = lambda: None,
) -> T:
    """Does one thing with the store, from outside an event loop."""

    async def opened() -> T:
        async with open_store(directory, create=create, shared=shared) as store:
            return await work(store)

    return asyncio.run(opened())


def shared_by(config: Path | None) -> Callable[[], "PostgresStore | None"]:
    """Finds the store that the settings of a file, as it was given, let processes share; for what is not local."""
    return lambda: build_shared(read_store(settings_file(config)))


def make(directory: Path) -> None:
    """Makes the data directory where it is missing, as `serve` does: its parent has to exist.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        directory.mkdir(exist_ok=True)
    except OSError as problem:
        raise ConfigError(
            "data_dir", f"{directory} cannot be made: {problem.strerror}; name another with --data-dir"
        ) from problem


@contextlib.contextmanager
def sole_owner(directory: Path) -> Iterator[None]:
    """Keeps every other process away from the directory.

    Raises:
        ConfigError: the directory is missing, cannot be written, or a process has it.
    """
    try:
        file = (directory / LOCK).open("a+")
    except OSError as problem:
        raise ConfigError("data_dir", f"{directory} cannot be used: {problem.strerror}") from problem
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            raise ConfigError("data_dir", f"process {owner(directory)} has {directory}: stop it first") from problem
        yield


def owner(directory: Path) -> str:
    """The process id that the directory's latest owner noted."""
    try:
        return (directory / LOCK).read_text().strip() or "unknown"
    except OSError:
        return "unknown"


async def _open(directory: Path) -> Database | RemoteStore:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        with contextlib.suppress(ConfigError):
            return await RemoteStore.connect(directory)
        try:
            return await asyncio.to_thread(Database, directory)
        except ConfigError:
            if asyncio.get_running_loop().time() >= deadline or not _taken(directory):
                raise
        await asyncio.sleep(0.05)


def _taken(directory: Path) -> bool:
    try:
        with sole_owner(directory):
            return False
    except ConfigError:
        return (directory / LOCK).is_file()
