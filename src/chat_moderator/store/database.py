"""The embedded database: one file, one writer thread that groups what arrives while it commits, and readers."""

import asyncio
import contextlib
import fcntl
import logging
import os
import threading
import zlib
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

import apsw
import msgspec

from chat_moderator.errors import ConfigError, OverloadedError
from chat_moderator.handover import Answer, hand_over
from chat_moderator.protocols import Clock
from chat_moderator.store.migrations import migrate
from chat_moderator.types import Message, Struct, now

FILE: Final = "moderator.db"
LOCK: Final = "moderator.lock"
MINIMUM_SQLITE: Final = (3, 51, 3)
GROUP: Final = 8
"""At most this many commands share a commit, so that the first of them does not wait for ever."""

ROWS: Final = 128
"""Rows a statement inserts: each statement gives up the interpreter's lock once and has to win it back."""

REMEMBERED: Final = 16_384
"""Messages that the writer remembers, so that what is leased soon after it was put need not be read back."""

log = logging.getLogger(__name__)
R = TypeVar("R")


class Memory:
    """What the writer remembers of what it wrote itself; all of it can be read again, so all of it may be forgotten.

    Attributes:
        counts: by name.
        messages: the latest of the queue by their place, at most 16,384.
    """

    def __init__(self, counts: dict[str, int] | None = None) -> None:
        self.counts = {} if counts is None else counts
        self.messages: dict[int, Message] = {}

    def keep(self, first: int, messages: Sequence[Message]) -> None:
        """Remembers messages that stand in the queue from `first` on, for whoever leases them next."""
        if len(self.messages) + len(messages) <= REMEMBERED:
            self.messages.update(enumerate(messages, first))

    def forget(self) -> None:
        """Reads everything again next time."""
        self.counts.clear()
        self.messages.clear()


class Context:
    """What commands and queries see: the connection, the time in Unix seconds, and what the writer remembers."""

    def __init__(self, connection: apsw.Connection, at: float, memory: Memory) -> None:
        self.connection = connection
        self.at = at
        self.memory = memory
        self.prepared: Any = None
        self.appended = False
        self.intended = False

    def value(self, sql: str, bindings: Any = ()) -> Any:
        """The first column of the first row; None where there is none."""
        row = next(iter(self.connection.execute(sql, bindings)), None)
        return row[0] if row is not None else None

    def run(self, sql: str, bindings: Any = ()) -> None:
        """Runs statements for their effect."""
        _exhaust(self.connection, sql, bindings)

    def insert(self, into: str, columns: int, values: Sequence[Any]) -> None:
        """Inserts rows that stand one after another in `values`; `into` is the statement up to VALUES."""
        for start in range(0, len(values), ROWS * columns):
            part = values[start : start + ROWS * columns]
            self.run(into + _placeholders(len(part) // columns, columns), part)


class Command(Struct, Generic[R], frozen=True, tag=True):
    """A change of the database, as a value: the writer groups them, and a second process sends them over the socket.

    `apply` is all or nothing: what it raises undoes it and reaches its caller; its neighbours in the commit stay. It
    may be called again after such an undoing. `durable` is False for what a power failure may take back.
    """

    result: ClassVar[Any] = None
    durable: ClassVar[bool] = True

    def prepare(self, at: float) -> Any:
        """What can be computed on the caller's thread, before the writer's turn; `apply` finds it in the context."""

    @abstractmethod
    def apply(self, context: Context) -> R:
        """Makes the change."""


class Query(Struct, Generic[R], frozen=True, tag=True):
    """A question to the database, as a value."""

    result: ClassVar[Any] = None

    @abstractmethod
    def answer(self, context: Context) -> R:
        """Reads only."""


class Store(Protocol):
    """The database of this process, or of another one through its socket."""

    async def execute(self, command: Command[R]) -> R:
        """Applies a command and returns its result once that is on disk."""

    async def ask(self, query: Query[R]) -> R:
        """Answers from what is committed."""


def key_of(message: Message) -> tuple[str, int, str, str, str]:
    """A message's key as it is stored, in JSON: the id first, since neighbours in time then share a page."""
    return message.id, message.revision, message.client, message.platform, message.channel


def digest_of(text: str) -> int:
    """Tells the texts of one key apart: a CRC-32, since nobody gains from resending a text under its own key."""
    return zlib.crc32(text.encode(errors="surrogatepass"))


def encode(value: Any) -> str:
    """JSON text for a binding."""
    return msgspec.json.encode(value).decode()


Waiting = tuple[Command[Any], Any, "asyncio.Future[Any]"]
"""A command, what was prepared for it, and who waits for its result."""


class Database:
    """Opens `moderator.db` in a directory and owns it: a second process is refused.

    Durable: WAL with synchronous=FULL, and a command's future is set after its commit. Batches cross into SQLite in one
    statement, so that the work happens outside the interpreter's lock.

    Raises:
        ConfigError: the directory is missing or cannot be written, another process has it, or the schema is newer.
    """

    def __init__(self, directory: Path, *, clock: Clock = now) -> None:
        if tuple(int(part) for part in apsw.sqlitelibversion().split(".")) < MINIMUM_SQLITE:
            raise ConfigError(
                "", f"SQLite {apsw.sqlitelibversion()} can corrupt a database; apsw with 3.51.3 or newer is needed"
            )
        self.path = directory / FILE
        self._clock = clock
        self._lock = _lock(directory)
        self._memory = Memory()
        try:
            self._connection = self._open()
            self.migrated_from = migrate(self._connection)
        except apsw.Error as problem:
            self._lock.close()
            raise ConfigError("data_dir", f"{self.path} cannot be opened as a database: {problem}") from problem
        except ConfigError:
            self._lock.close()
            raise
        self._pending: deque[Waiting] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._listeners: list[Callable[[bool], None]] = []
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="store-reader")
        self._local = threading.local()
        self._reader_connections: list[apsw.Connection] = []
        self._writer = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._writer.start()

    async def execute(self, command: Command[R]) -> R:
        """Applies the command and returns its result once that is on disk.

        Raises:
            OverloadedError: the disk is full or the database cannot be written.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        prepared = command.prepare(self._clock().timestamp())
        with self._wake:
            if self._closing:
                raise OverloadedError("the store is closed")
            self._pending.append((command, prepared, future))
            self._wake.notify()
        return await future

    async def ask(self, query: Query[R]) -> R:
        """Answers from what is committed."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.ask_now, query)

    def ask_now(self, query: Query[R]) -> R:
        """Like `ask`, on the calling thread."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            self._reader_connections.append(connection)
        return query.answer(Context(connection, self._clock().timestamp(), Memory(self._memory.counts)))

    def on_append(self, listener: Callable[[bool], None]) -> None:
        """Calls `listener` on the writer's thread after each commit to the feed; true: with actions to perform."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Commits what is pending, folds the log into the database and gives up the lock."""
        with self._wake:
            if self._closing:
                return
            self._closing = True
            self._wake.notify()
        self._writer.join()
        self._readers.shutdown()
        for connection in self._reader_connections:
            connection.close()
        with contextlib.suppress(apsw.Error):
            _exhaust(self._connection, "PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._lock.close()

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path))
        connection.set_busy_timeout(5000)
        _exhaust(connection, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16000")
        return connection

    def _open(self) -> apsw.Connection:
        connection = self._connect()
        self._durable = True
        _exhaust(connection, "PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864")
        return connection

    def _write(self) -> None:
        while True:
            with self._wake:
                while not self._pending and not self._closing:
                    self._wake.wait()
                if not self._pending:
                    return
                group = [self._pending.popleft() for _ in range(min(len(self._pending), GROUP))]
            self._commit(group)

    def _commit(self, group: list[Waiting]) -> None:
        try:
            settled, context = self._transact(group)
        except apsw.Error as problem:
            self._recover(problem)
            refusal = OverloadedError(f"the store cannot write: {problem}")
            hand_over([(future, None, refusal) for *_, future in group])
            return
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is this command's caller's to see
            # Nothing of the group was written. Alone, the one that failed fails by itself.
            _exhaust(self._connection, "ROLLBACK")
            self._memory.forget()
            if len(group) > 1:
                for one in group:
                    self._commit([one])
            else:
                hand_over([(group[0][2], None, error)])
            return
        hand_over(settled)
        if context.appended or context.intended:
            for listener in self._listeners:
                listener(context.intended)

    def _transact(self, group: list[Waiting]) -> tuple[list[Answer], Context]:
        context = Context(self._connection, self._clock().timestamp(), self._memory)
        self._synchronise(durable=any(command.durable for command, *_ in group))
        self._connection.execute("BEGIN IMMEDIATE")
        settled: list[Answer] = []
        for command, prepared, future in group:
            context.prepared = prepared
            settled.append((future, command.apply(context), None))
        self._connection.execute("COMMIT")
        return settled, context

    def _synchronise(self, *, durable: bool) -> None:
        """Whether the next commit waits for the disk; whatever does is on disk with all that came before it."""
        if durable is not self._durable:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    def _recover(self, problem: apsw.Error) -> None:
        """After a failed write or fsync the connection's state is unknown: a new one reads what is truly on disk."""
        log.error("the store cannot write, reopening: %s", problem)
        self._memory.forget()
        with contextlib.suppress(apsw.Error):
            self._connection.execute("ROLLBACK")
        with contextlib.suppress(apsw.Error):
            self._connection.close(force=True)
        with contextlib.suppress(apsw.Error):
            self._connection = self._open()


@lru_cache(maxsize=2 * ROWS)
def _placeholders(rows: int, columns: int) -> str:
    return " VALUES " + ", ".join([f"({', '.join('?' * columns)})"] * rows)


def _exhaust(connection: apsw.Connection, sql: str, bindings: Any = ()) -> None:
    """Runs every statement to its end; `execute` alone stops at the first row."""
    for _ in connection.execute(sql, bindings):
        pass


def _lock(directory: Path) -> Any:
    if not directory.is_dir():
        raise ConfigError("data_dir", f"{directory} is not a directory: create it, or name another with --data-dir")
    try:
        file = (directory / LOCK).open("a+")
    except OSError as problem:
        raise ConfigError("data_dir", f"{directory} cannot be written: {problem.strerror}") from problem
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise ConfigError("data_dir", f"{directory} is in use by another process (pid {owner})") from problem
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
