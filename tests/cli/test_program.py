import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from chat_moderator.cli import keys, program
from tests.cli.commands import command, process

ROOT = Path(__file__).parents[2]
COMMANDS = ["moderate", "serve", "work", "replay", "keys", "dead-letters", "reviews", "backup", "restore", "erase"]


def test_help_names_every_command_and_the_version_is_told() -> None:
    shown = process("--help")
    assert shown.code == 0
    assert [name for name in [*COMMANDS, "doctor"] if f"\n  {name} " not in shown.out] == []
    assert re.fullmatch(r"chat-moderator \d+\.\d+\.\d+\S*\n", process("--version").out)


@pytest.mark.parametrize("line", ["nope", "moderate --nope", "keys nope", "serve --port x", "reviews approve x", ""])
def test_a_command_that_is_not_understood_exits_with_2(line: str) -> None:
    assert command(*line.split()).code == 2


def test_an_interrupted_command_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(typer, "echo", interrupted)
    monkeypatch.setattr(keys, "hint", lambda _: None)
    assert command("keys", "create", "x").code == 130


def test_a_bug_is_one_line_and_its_place_is_shown_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(keys, "moment", broken)
    assert command("keys", "create", "x").code == 0
    with pytest.raises(AssertionError, match="this is a bug: ZeroDivisionError: by zero"):
        command("keys", "list")
    monkeypatch.setenv(program.TRACEBACK, "1")
    assert command("keys", "list").code == 1


def test_the_types_are_imported_within_60_milliseconds() -> None:
    imports = [sys.executable, "-X", "importtime", "-c", "import chat_moderator"]
    lines = [subprocess.run(imports, capture_output=True, text=True, check=True).stderr for _ in range(7)]
    times = [int(re.findall(r"\| +(\d+) \| chat_moderator$", text, re.MULTILINE)[0]) for text in lines]
    assert min(times) <= 60_000


@pytest.mark.parametrize(("arguments", "limit"), [(("--help",), 0.3), (("moderate", "hello"), 1.0)])
def test_a_command_starts_fast(arguments: tuple[str, ...], limit: float) -> None:
    assert min(_seconds(*arguments) for _ in range(3)) < limit


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, chat_moderator.cli.program; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "apsw", "litestar", "httpx", "asyncio", "rich", "structlog"}.isdisjoint(loaded)


def test_arithmetic_stays_on_one_thread_unless_the_environment_says_otherwise() -> None:
    code = (
        "import os, chat_moderator.interpreter as own; own.one_core_for_arithmetic(); "
        "print(os.environ['OPENBLAS_NUM_THREADS'])"
    )

    def told(environment: dict[str, str]) -> str:
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        return found.stdout

    rest = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    assert told(rest) == "1\n"
    assert told(rest | {"OPENBLAS_NUM_THREADS": "3"}) == "3\n"


def test_the_reference_page_is_what_the_program_says() -> None:
    code = "import runpy; print(runpy.run_path('docs/generate.py')['page'](), end='')"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    page = (ROOT / "docs/reference/cli.md").read_text("utf-8")
    assert page == made, "run python docs/generate.py"


def _seconds(*arguments: str) -> float:
    """Processor time of a command: what it takes on a machine that does nothing else."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "chat_moderator", *arguments],
        capture_output=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
