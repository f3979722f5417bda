import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chat_moderator import interpreter
from chat_moderator.cli.stores import use_store
from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.intake import Put
from chat_moderator.testing.factories import make_message
from chat_moderator.types import Record, Verdict
from tests.cli.commands import process, until
from tests.running import Running, free_port

SETTINGS = """
[worker]
parallel = {parallel}
[[policy.rules]]
name = "shouts"
when = "text.original == 'HEY'"
verdict = "{verdict}"
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "serve.toml").write_text(SETTINGS.format(parallel=0, verdict="hold"))
    (tmp_path / "work.toml").write_text(SETTINGS.format(parallel=2, verdict="hold"))
    return tmp_path


@contextmanager
def worker(data: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = ["work", "--data-dir", str(data), "--config", str(data / "work.toml")]
    with (data / "work.log").open("a") as log:
        running = subprocess.Popen([sys.executable, "-m", "chat_moderator", *arguments], stderr=log, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@contextmanager
def server(data: Path) -> Iterator[Running]:
    running = Running(data, free_port(), "--config", str(data / "serve.toml"))
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.kill()


def put(data: Path, *texts: str) -> None:
    messages = tuple(make_message(text, channel=str(at)) for at, text in enumerate(texts))
    use_store(data, lambda store: store.execute(Put(messages=messages, limit=1000)))


def records(data: Path) -> list[Record]:
    return use_store(data, lambda store: store.ask(RecordsAfter(seq=0, limit=1000)))


def test_a_worker_outlives_its_server_judges_for_the_next_and_drains(data: Path) -> None:
    log = data / "work.log"
    with worker(data) as working:
        until(lambda: "no moderator serves" in log.read_text())
        with server(data):
            put(data, "hello", "HEY")
            until(lambda: len(records(data)) == 2)
            verdicts = {record.message.text: record.decision.verdict for record in records(data)}
            assert verdicts == {"hello": Verdict.ALLOW, "HEY": Verdict.HOLD}
            assert {action for record in records(data) for action in record.decision.actions} <= {"alert", "release"}
        with server(data):
            put(data, *["hello"] * 40)
            until(lambda: len(records(data)) == 42)
            working.send_signal(signal.SIGTERM)
            assert working.wait(15) == 0
    told = log.read_text()
    assert told.count("works for the process that serves") == 2
    assert "stopped after 42 messages" in told
    assert "Traceback" not in told


def test_a_worker_takes_an_edited_policy_and_leaves_a_broken_one(data: Path) -> None:
    settings, log = data / "work.toml", data / "work.log"
    with server(data), worker(data):
        until(lambda: "works for" in log.read_text())
        settings.write_text("[policy\n")
        until(lambda: "not reloaded, the old policy stays in force" in log.read_text())
        settings.write_text(SETTINGS.format(parallel=2, verdict="block"))
        until(lambda: "is in force" in log.read_text())
        put(data, "HEY")
        until(lambda: len(records(data)) == 1)
        assert records(data)[0].decision.verdict is Verdict.BLOCK


def test_a_directory_or_a_queue_that_cannot_be_shared_is_said(data: Path) -> None:
    done = process("work", "--data-dir", str(data / "typo"))
    assert (done.code, done.out) == (2, "")
    assert "typo is not a directory: name the one that `serve` has" in done.err
    (data / "work.toml").write_text('[queue]\ntype = "memory"\n')
    done = process("work", "--data-dir", str(data), "--config", str(data / "work.toml"))
    assert (done.code, done.err.split(": ")[1]) == (2, "queue.type")


ARITHMETIC = """
import sys
from chat_moderator import interpreter
from chat_moderator.cli import program
assert "numpy" not in sys.modules, "it would have read the environment by now"
interpreter.one_core_for_arithmetic()
from chat_moderator.cli import worker
from threadpoolctl import threadpool_info
print(max(each["num_threads"] for each in threadpool_info()))
"""


def test_a_worker_multiplies_on_one_core() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in interpreter.ARITHMETIC}
    done = subprocess.run(
        [sys.executable, "-c", ARITHMETIC], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"
