import json
from pathlib import Path

import pytest

from tests.cli.commands import command, process

TOXIC = "you fucking idiot"


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    file = tmp_path / "chat.jsonl"
    texts = ["hello", TOXIC, "see you"] * 400
    rows = [{"id": f"m{number}", "text": text, "channel": "c"} for number, text in enumerate(texts)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def test_decisions_stand_beside_the_file_and_the_summary_counts_them(chat: Path) -> None:
    done = command("replay", str(chat))
    assert done.code == 0
    assert "1,200 messages in" in done.out
    assert "a second" in done.out
    lines = [json.loads(line) for line in Path("chat.decisions.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [f"m{number}" for number in range(1200)]
    assert sum(line["action"] == "block" for line in lines) == 400
    assert list(lines[0]) == ["id", "action", "score", "scores", "rule", "spans"]
    counted = {tuple(row.split()[:3]) for row in done.out.splitlines()}
    assert ("verdict", "allow", "800") in counted
    assert ("verdict", "block", "400") in counted
    assert any(row.startswith(" rule ") and "threshold:" in row for row in done.out.splitlines())


def test_decisions_go_to_standard_output_alone_on_demand(chat: Path) -> None:
    done = command("replay", str(chat), "--output", "-")
    assert len(done.objects) == 1200
    assert "1,200 messages in" in done.err
    assert not Path("chat.decisions.jsonl").exists()


def test_decisions_are_recorded_where_a_data_directory_is_named(chat: Path, tmp_path: Path) -> None:
    (tmp_path / "moderator.toml").write_text('[[policy.rules]]\nname = "a"\nwhen = "true"\nverdict = "hold"\n')
    assert command("replay", str(chat), "--data-dir", "kept").code == 0
    (review,) = command("reviews", "list", "--data-dir", "kept", "--json", "--after", "1199").objects
    assert review["record"]["message"]["id"] == "m1199"
    assert review["record"]["message"]["client"] == "replay"
    assert "actions" not in review["record"]["decision"]


def test_a_bad_line_is_named_and_leaves_no_file(chat: Path) -> None:
    with chat.open("a") as file:
        file.write("\nnonsense\n")
    done = command("replay", str(chat))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: line 1201: not a message: ")
    assert [file.name for file in Path.cwd().iterdir()] == ["chat.jsonl"]


def test_no_message_is_a_summary_of_nothing() -> None:
    Path("none.jsonl").touch()
    assert "0 messages in" in command("replay", "none.jsonl").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("missing.jsonl",), "missing.jsonl: cannot be read: No such file or directory"),
        ((".",), "cannot be read: Is a directory"),
        (("chat.jsonl", "--output", "no/such/file"), "name another with --output"),
        (("chat.jsonl", "--output", "chat.jsonl"), "--output: is the file of messages itself"),
        (("chat.jsonl", "--data-dir", "no/such"), "no/such cannot be made"),
    ],
)
def test_a_file_that_cannot_be_used_is_said(chat: Path, arguments: tuple[str, ...], says: str) -> None:
    done = process("replay", *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert done.err.count("\n") == 1
    assert len(chat.read_text().splitlines()) == 1200
