"""The command line, in this process and in one of its own."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from typer.testing import CliRunner

from chat_moderator.cli.program import app
from chat_moderator.cli.stores import use_store
from chat_moderator.queues.embedded import EmbeddedQueue
from chat_moderator.store.audit import Append
from chat_moderator.store.database import Store
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Author, Verdict


class Done:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err
        assert "Traceback" not in out + err, out + err
        assert "this is a bug" not in err, err

    @property
    def objects(self) -> list[Any]:
        return [msgspec.json.decode(line) for line in self.out.splitlines()]


def command(*arguments: str, given: bytes | str | None = None) -> Done:
    """Runs a command in this process."""
    result = CliRunner().invoke(app, list(arguments), input=given)
    return Done(result.exit_code, result.stdout, result.stderr)


def process(*arguments: str | bytes, given: bytes = b"", **environment: str) -> Done:
    """Runs a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "chat_moderator", *arguments],
        input=given,
        capture_output=True,
        check=False,
        env=os.environ | environment,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def hold(data: Path, text: str, author: Author | None = None) -> int:
    """Records a held message; its review's id."""
    record = make_record(make_message(text, author=author or Author("u1", "ada")), Verdict.HOLD, rule="a rule")
    (seq,) = use_store(data, lambda store: store.execute(Append(records=(record,))))
    return seq


def bury(data: Path, text: str) -> None:
    """Puts a message into the queue and gives it up."""

    async def buried(store: Store) -> None:
        queue = EmbeddedQueue(store)
        await queue.put([make_message(text)])
        lease = await queue.lease(1, wait=timedelta(seconds=5))
        assert lease is not None
        await lease.bury([0], reason="no\nclassifier")
        await lease.ack()

    use_store(data, buried)


def until(true: Callable[[], bool], *, seconds: float = 30.0) -> None:
    """Waits for something that another process does."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.02)
