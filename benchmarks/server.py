"""The server under test, as a process of its own."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import apsw

RULES = """
[[policy.rules]]
name = "links from new accounts"
when = 'scores.spam > 0.5 && text.links > 0'
verdict = "hold"

[[policy.rules]]
name = "shouting insults"
when = 'scores.insult > 0.6 && text.capitals > 0.7'
verdict = "block"

[[policy.rules]]
name = "threats in the arena"
when = 'scores.threat > 0.4 && message.channel == "arena"'
verdict = "hold"
"""
"""Three CEL rules that look at scores, text and channel of every message."""


class Server:
    """A running moderator."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, directory: Path) -> None:
        self.process = process
        self.host = "127.0.0.1"
        self.port = port
        self.directory = directory

    def memory(self) -> int:
        """Resident bytes now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def processor(self) -> float:
        """Processor seconds so far, of all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name: str) -> float:
        """The sum of a metric's series."""
        with urllib.request.urlopen(f"http://{self.host}:{self.port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        values = [float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name]
        return sum(values)

    def series(self, name: str) -> dict[str, float]:
        """The values of a metric with one label, by the label's value."""
        with urllib.request.urlopen(f"http://{self.host}:{self.port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{")}

    def wait_until_settled(self) -> None:
        """Returns when nothing waits or is in work."""
        while self.metric("chat_moderator_queue_waiting") + self.metric("chat_moderator_queue_leased"):
            time.sleep(0.05)

    def audited(self) -> int:
        """Rows in the audit, counted in the file by another connection."""
        connection = apsw.Connection(str(self.directory / "moderator.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return int(next(connection.execute("SELECT count(*) FROM decisions WHERE record LIKE '%\"bench\"%'"))[0])
        finally:
            connection.close()


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(directory: Path, settings: str = RULES) -> Iterator[Server]:
    """A moderator with three rules, or other settings, with its own data in `directory`."""
    config, port = directory / "moderator.toml", free_port()
    config.write_text(settings)
    command = [sys.executable, "-m", "chat_moderator", "serve", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--data-dir", str(directory), "--config", str(config)], stdout=subprocess.DEVNULL
    )
    try:
        _wait_until_ready(process, port)
        yield Server(process, port, directory)
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise RuntimeError("the server was not ready within 30 seconds")
