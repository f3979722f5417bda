import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from chat_moderator.cli import checkup
from tests.cli.commands import Done, bury, command
from tests.running import Running, free_port, serving


@pytest.fixture(autouse=True)
def settings(tmp_path: Path) -> Path:
    """A port that is free, whatever runs on this machine."""
    path = tmp_path / "moderator.toml"
    path.write_text(f"[server]\nport = {free_port()}\n")
    return path


def findings(done: Done) -> dict[str, dict[str, Any]]:
    return {finding["name"]: finding for finding in done.objects}


def test_before_the_first_start_all_is_well_and_nothing_is_made() -> None:
    done = command("doctor", "--json")
    found = findings(done)
    assert done.code == 0
    assert {"chat-moderator", "python", "sqlite", "litestar", "settings", "model", "policy", "data"} <= set(found)
    assert all(set(finding) == {"name", "value", "problem", "cure"} for finding in found.values())
    assert "empty until" in found["data"]["value"]
    assert not Path("data").exists()


def test_what_it_found_is_a_table_for_people() -> None:
    done = command("doctor")
    assert done.code == 0
    assert done.out.endswith("all is well\n")


def test_it_says_who_serves_the_data(idle_server: Running) -> None:
    found = findings(command("doctor", "--data-dir", str(idle_server.directory), "--json"))
    assert f"process {idle_server.process.pid} serves it" in found["data"]["value"]
    assert found["integrity"]["value"] == "ok"
    assert "waiting" in found["queue"]["value"]


def test_a_server_that_does_not_answer_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "PATIENCE", 0.3)
    data = tmp_path / "data"
    data.mkdir()
    with serving(data) as running:
        running.process.send_signal(signal.SIGSTOP)
        found = findings(command("doctor", "--json"))
        running.process.send_signal(signal.SIGCONT)
    assert found["data"]["problem"] == f"process {running.process.pid} has it and does not answer"


def test_dead_letters_are_something_to_fix() -> None:
    Path("data").mkdir()
    bury(Path("data"), "x")
    done = command("doctor", "--json")
    letters = findings(done)["dead letters"]
    assert (done.code, letters["value"]) == (1, "1")
    assert "chat-moderator dead-letters list" in letters["cure"]
    assert "1 to fix" in command("doctor").out


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("[server]\nprot = 1", "settings", "server.prot: there is no such key"),
        ("[cascade]\ntiers = ['nope']", "model", "cascade.tiers[0]: there is no classifier"),
        ("[policy]\nthreshold = 0.0", "policy", "policy.threshold: 0.0"),
        ("[server]\nhost = '0.0.0.0'", "address", "without a key only this machine may be served"),
        ("[server]\nhost = '203.0.113.7'", "address", "is no address of this machine"),
    ],
)
def test_what_is_wrong_with_the_settings_is_found(settings: Path, text: str, name: str, says: str) -> None:
    settings.write_text(text)
    done = command("doctor", "--json")
    found = findings(done)[name]
    assert done.code == 1
    assert says in found["problem"]
    assert found["cure"]


def test_a_taken_port_and_a_damaged_database_are_found(settings: Path) -> None:
    Path("data").mkdir()
    Path("data/moderator.db").write_bytes(b"junk" * 1000)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings.write_text(f"[server]\nport = {taken.getsockname()[1]}\n")
        found = findings(command("doctor", "--json"))
    assert "cannot be opened as a database" in found["data"]["problem"]
    assert "restore" in found["data"]["cure"]
    assert "is taken by another program" in found["address"]["problem"]


def test_a_threshold_of_the_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOXICITY_THRESHOLD", "0.3")
    assert "0.3 from TOXICITY_THRESHOLD" in findings(command("doctor", "--json"))["threshold"]["value"]
    monkeypatch.setenv("TOXICITY_THRESHOLD", "much")
    done = command("doctor", "--json")
    assert (done.code, "TOXICITY_THRESHOLD" in findings(done)["settings"]["problem"]) == (1, True)
