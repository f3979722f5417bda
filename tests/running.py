"""A moderator as users run it: the real command, in a process of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

READY = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """A process that serves `directory` on `port`."""

    def __init__(self, directory: Path, port: int, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "chat_moderator", "serve", "--port", str(port), "--data-dir", str(directory)]
        with (directory / "stderr.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *arguments], stdout=subprocess.DEVNULL, stderr=log, env=os.environ | (environment or {})
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"{self.url}/readyz").close()  # noqa: S310 -- its own address
                return
            threading.Event().wait(0.02)
        raise AssertionError((self.directory / "stderr.log").read_text())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def address(self, text: str) -> str:
        """The text with the documented address replaced by this server's."""
        return text.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")


@contextlib.contextmanager
def serving(directory: Path, *arguments: str) -> Iterator[Running]:
    running = Running(directory, free_port(), *arguments)
    try:
        running.wait_until_ready()
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
