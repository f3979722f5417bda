import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import command, process
from tests.running import free_port


class Serving:
    """`serve` on a free port, with what it prints."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chat_moderator", "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.lines = []
        while line := self.process.stdout.readline():
            self.lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                break
        used = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        self.seconds = sum(map(int, used)) / os.sysconf("SC_CLK_TCK")
        """Of a processor, until it was ready: what it takes on a machine that does nothing else."""

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=15)
        return self.process.returncode, err


def test_it_says_what_to_open_and_what_to_paste_and_both_work() -> None:
    serving = Serving()
    try:
        assert re.fullmatch(r"chat-moderator \S+ is ready", serving.lines[0])
        address = serving.lines[1].split()[1]
        assert httpx.get(address, follow_redirects=True).headers["content-type"].startswith("text/html")
        curl = shlex.split(serving.lines[2].removeprefix("  try   "))
        assert curl[:4] == ["curl", "-X", "POST", f"{address}run"]
        headers = dict(curl[at + 1].split(": ") for at, word in enumerate(curl) if word == "-H")
        answer = httpx.post(curl[3], headers=headers, content=curl[curl.index("--data") + 1])
        assert [result["id"] for result in answer.json()["results"]] == ["1", "2"]
        assert "settings: built-in, data: data" in serving.lines
        assert Path("data/moderator.db").exists()
    finally:
        code, err = serving.stop()
    assert code == 0
    assert "Traceback" not in err


def test_with_a_key_the_curl_takes_the_token_from_the_environment() -> None:
    assert command("keys", "create", "x").code == 0
    serving = Serving()
    try:
        assert '-H "Authorization: Bearer $TOKEN"' in serving.lines[2]
    finally:
        serving.stop()


def test_it_is_ready_within_two_seconds_and_ends_well_on_either_signal() -> None:
    seconds = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        serving = Serving()
        seconds.append(serving.seconds)
        assert serving.stop(number)[0] == 0
    assert min(seconds) <= 2.0


def test_it_serves_though_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    port = free_port()
    script = f'"{sys.executable}" -m chat_moderator serve --port {port} | true; echo ${{PIPESTATUS[0]}}'
    with subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as shell:
        with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:
            assert client.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        owner = int((tmp_path / "data/moderator.lock").read_text())
        os.kill(owner, signal.SIGTERM)
        out, err = shell.communicate(timeout=15)
    assert (out, "Traceback" in err) == ("0\n", False)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("[server]\nprot = 1", "server.prot: there is no such key; there are host, port,"),
        ("x", "moderator.toml: is not TOML"),
        ("[log]\nformat = 'xml'", "log.format: 'xml' is not known; there are console, json"),
        ("[log]\nlevel = 'loud'", "log.level: 'loud' is not known; there are debug, info"),
        ("[policy]\nthreshold = 2.0", "policy.threshold: 2.0"),
        ("[[policy.rules]]\nname = 'a'\nwhen = 'scores.nope > 1'\nverdict = 'hold'", "policy.rules[0].when"),
        ("[cascade]\ntiers = ['nope']", "cascade.tiers[0]: there is no classifier 'nope'"),
        ("[queue]\ntype = 'nope'", "queue.type: there is no queue 'nope'"),
        ("[[sinks]]\ntype = 'jsonl'\npath = '/proc/no/x'", "sinks"),
        ("[actions.alert]\nurl = 'ftp://x'", "actions.alert.url"),
        ("[server]\nhost = '203.0.113.7'", "server.host: '203.0.113.7' is no address of this machine"),
        ("[server]\nhost = '0.0.0.0'", "there is no key: make one with chat-moderator keys create"),
        ("[server]\norigins = ['nope']", "server.origins[0]"),
    ],
)
def test_what_is_wrong_with_the_settings_is_one_line(tmp_path: Path, settings: str, says: str) -> None:
    (tmp_path / "moderator.toml").write_text(settings)
    done = process("serve")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert says in done.err


def test_what_is_wrong_with_the_port_or_the_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cases = {
            f"server.port: {port} is taken": process("serve", "--port", str(port)),
            "no/such is not a directory": process("serve", "--data-dir", "no/such"),
            "file is not a directory": process("serve", "--data-dir", "file"),
            "/proc": process("serve", "--data-dir", "/proc"),
        }
    for says, done in cases.items():
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
        assert says in done.err


def test_a_second_server_on_the_same_directory_is_told_whose_it_is(tmp_path: Path) -> None:
    first = Serving()
    try:
        second = process("serve", "--port", "0")
        assert second.code == 2
        assert second.err == f"error: data_dir: data is in use by another process (pid {first.process.pid})\n"
    finally:
        first.stop()
