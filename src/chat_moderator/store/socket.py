"""The store for a second process on this machine: commands and queries over a Unix socket of the process that owns it.

A frame is four bytes of length, big-endian, and MessagePack. Requests are answered in order of completion, each with
its number.
"""

import asyncio
import contextlib
import itertools
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar, Union

import msgspec

from chat_moderator import errors
from chat_moderator.errors import ChatModeratorError, ConfigError, TransientError
from chat_moderator.store import audit, bookmarks, dead_letters, intake, keys, labels, outbox, retention, reviews, usage
from chat_moderator.store.database import Command, Query, Store

R = TypeVar("R")

SOCKET: Final = "moderator.sock"
LONGEST: Final = 64 * 1024 * 1024


def _subclasses(kind: type[Any]) -> list[type[Any]]:
    children: list[type[Any]] = kind.__subclasses__()
    return [each for child in children for each in (child, *_subclasses(child))]


_MODULES: Final = {
    module.__name__
    for module in (audit, bookmarks, dead_letters, intake, keys, labels, outbox, retention, reviews, usage)
}
_REQUESTS: Final = tuple(
    kind
    for base in (Command, Query)
    for kind in _subclasses(base)
    if kind.__module__ in _MODULES and not kind.__subclasses__()
)
_REQUEST: Final = msgspec.msgpack.Decoder(tuple[int, Union[_REQUESTS]])  # type: ignore[valid-type]  # noqa: UP007
_ANSWER: Final = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw, list[str] | None])


_NOTHING: Final = MappingProxyType[type[Command[Any]], Callable[[Any], Awaitable[Any]]]({})

log = logging.getLogger(__name__)


class StoreServer:
    """Serves a store on `moderator.sock` of a directory; only the same user may connect.

    Args:
        store: what is served.
        directory: where its database is.
        instead: what this process does in the place of a command, where the store is not all that it concerns.
    """

    def __init__(
        self,
        store: Store,
        directory: Path,
        *,
        instead: Mapping[type[Command[Any]], Callable[[Any], Awaitable[Any]]] = _NOTHING,
    ) -> None:
        self._store = store
        self._instead = instead
        self.path = directory / SOCKET
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Begins to listen; a socket left by a crash is replaced, since the lock says that its owner is gone."""
        self.path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self.path))
        except OSError as problem:
            raise ConfigError(
                "data_dir", f"{self.path} cannot be a socket, name a shorter directory: {problem}"
            ) from problem
        finally:
            os.umask(mask)

    async def aclose(self) -> None:
        """Stops listening and drops the connections."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            await self._server.wait_closed()
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        tasks: set[asyncio.Task[None]] = set()
        try:
            while (frame := await _read(reader)) is not None:
                task = asyncio.create_task(self._answer(frame, writer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        finally:
            for task in tasks:
                task.cancel()
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, frame: bytes, writer: asyncio.StreamWriter) -> None:
        number: int
        request: Command[Any] | Query[Any]
        number, request = _REQUEST.decode(frame)
        try:
            result: Any
            if type(request) in self._instead:
                result = await self._instead[type(request)](request)
            elif isinstance(request, Command):
                result = await self._store.execute(request)
            else:
                result = await self._store.ask(request)
        except ChatModeratorError as error:
            answer = [number, None, [type(error).__name__, *map(str, error.args)]]
        except Exception as error:
            log.exception("a request of another process failed in a way that was not foreseen")
            answer = [number, None, [TransientError.__name__, f"{type(error).__name__}: {error}"]]
        else:
            answer = [number, result, None]
        _write(writer, msgspec.msgpack.encode(answer))
        with contextlib.suppress(ConnectionError):
            await writer.drain()


class RemoteStore:
    """`execute` and `ask` like a `Database`, through the process that has it open.

    Raises:
        ConfigError: nobody serves this directory.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._numbers = itertools.count()
        self._receiver = asyncio.create_task(self._receive(reader))

    @classmethod
    async def connect(cls, directory: Path) -> "RemoteStore":
        """Connects to the process that serves `directory`."""
        try:
            return cls(*await asyncio.open_unix_connection(str(directory / SOCKET)))
        except OSError as problem:
            raise ConfigError(
                "data_dir", f"no moderator serves {directory}: start one with `chat-moderator serve`"
            ) from problem

    async def execute(self, command: Command[R]) -> R:
        """See `Database.execute`."""
        answer: R = await self._call(command)
        return answer

    async def ask(self, query: Query[R]) -> R:
        """See `Database.ask`."""
        answer: R = await self._call(query)
        return answer

    async def aclose(self) -> None:
        """Ends the connection."""
        self._receiver.cancel()
        self._writer.close()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await self._receiver

    async def _call(self, request: Command[Any] | Query[Any]) -> Any:
        if self._receiver.done():
            raise TransientError("the process that owns the store is gone")
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            _write(self._writer, msgspec.msgpack.encode((number, request)))
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()
            answer = await future
        finally:
            del self._waiting[number]
        return msgspec.msgpack.decode(answer, type=type(request).result)

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        try:
            while (frame := await _read(reader)) is not None:
                number, result, problem = _ANSWER.decode(frame)
                future = self._waiting.get(number)
                if future is None or future.done():
                    continue
                if problem is not None:
                    future.set_exception(_error(*problem))
                else:
                    future.set_result(result)
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(TransientError("the process that owns the store is gone"))


def _error(name: str, *arguments: str) -> Exception:
    kind = getattr(errors, name, None) or getattr(reviews, name, None) or TransientError
    error: Exception = kind.__new__(kind)
    error.args = (arguments[0] if arguments else name,)
    return error


async def _read(reader: asyncio.StreamReader) -> bytes | None:
    try:
        length = int.from_bytes(await reader.readexactly(4))
        if length > LONGEST:
            return None
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _write(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(len(frame).to_bytes(4) + frame)
