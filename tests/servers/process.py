"""A server program on loopback, in a process of its own, and a way to break the line to it."""

import asyncio
import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import create_connection

READY = 60.0


class ServerProcess:
    """Runs until stopped; what it prints goes to a file."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self._command = command
        self._user = user
        self._environment = environment
        self._log = log
        self.port = port
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment, user=self._user, start_new_session=True
            )
        deadline = time.monotonic() + READY
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            threading.Event().wait(0.02)
        self.stop()
        raise AssertionError(self._log.read_text(errors="replace"))

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def restart(self) -> None:
        """As after a crash."""
        self.stop(signal.SIGKILL)
        self.start()


class Line:
    """A TCP relay in front of a server: `cut` drops all connections and takes none, `delay` slows every answer."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.delay = 0.0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                await asyncio.gather(self._pass(reader, their_writer, 0.0), self._pass(their_reader, writer, None))
            finally:
                their_writer.close()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float | None) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(self.delay if delay is None else delay)
            writer.write(data)
            await writer.drain()
        writer.close()
