"""`chat-moderator evaluate`: what it measures, what it keeps, and what it says about files that are none."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from chat_moderator.cli.measures import auroc, calibration_error, reliability
from chat_moderator.cli.program import app

FINE = ("good game everyone", "how do i join the server", "what a lovely day", "see you tomorrow", "brb getting food")
BAD = ("you are a pathetic idiot", "shut up you stupid moron", "kill yourself you worthless trash")


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    path = tmp_path / "chat.jsonl"
    rows = [
        {"text": f"{text} {n}", "labels": {"toxicity": int(text in BAD)}} for n in range(6) for text in (*FINE, *BAD)
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "moderator.toml"
    path.write_text('[cascade]\ntiers = ["ngram", "encoder"]\n')
    return path


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def test_measures_labelled_texts(chat: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plot.html"
    code, out, _ = run("--data", chat, "--json", "--plot", plot)
    assert code == 0
    quality = json.loads(out)["quality"]
    assert quality["labels"]["toxicity"]["auroc"] > 0.95
    assert quality["labels"]["toxicity"]["texts"] == 48
    assert quality["shares"]["abuse caught (held or blocked)"]["texts"] == 18
    assert "toxicity" in plot.read_text()
    assert "http" not in plot.read_text().replace("http-equiv", "")
    code, out, _ = run("--data", chat)
    assert "fine texts blocked" in out


def test_compares_the_cascade_with_its_last_tier(chat: Path, settings: Path, tmp_path: Path) -> None:
    exits = tmp_path / "exits.json"
    code, out, _ = run("--data", chat, "--cascade", "--write", exits, "--config", settings)
    assert code == 1, "48 texts show nothing"
    assert "no threshold can be shown to keep the promises" in out
    settings.write_text(
        f'[cascade]\ntiers = ["ngram", "encoder"]\nmax_missed = 0.95\nmax_disagreement = 0.95\nexits = "{exits}"\n'
    )
    code, out, _ = run("--data", chat, "--cascade", "--json", "--config", settings)
    found = json.loads(out)["cascade"]
    assert (code, found["texts"], found["degraded"]) == (0, 48, 0)
    assert found["by_tier"]["ngram"] + found["by_tier"]["encoder"] == 48
    assert found["by_tier"]["ngram"] > 0
    assert found["missed_share"][0] <= found["missed_share"][1] <= 0.95


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "chat.jsonl:1:"),
        ('{"texts": "x"}', "chat.jsonl:1: Object missing required field `text`"),
        ('{"text": "x", "labels": {"rude": 1}}', "there is no label 'rude'; there are toxicity"),
        ('{"text": "x", "labels": {"toxicity": 2}}', "<= 1"),
        ('{"text": "x", "labels": {"toxicity": "yes"}}', "chat.jsonl:1:"),
        ('{"text": "\\ud800"}', "chat.jsonl:1:"),
        ("\xff", "chat.jsonl:1:"),
        ("", "there is no text in"),
        ('{"text": "x"}', "no text has a label; --cascade needs none"),
    ],
)
def test_a_line_that_is_none_is_named(line: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_bytes(line.encode("latin-1"))
    code, _, complaint = run("--data", path)
    assert code == 2
    assert problem in complaint


def test_what_cannot_be_asked_is_refused(chat: Path, tmp_path: Path) -> None:
    single = tmp_path / "single.toml"
    single.write_text('[cascade]\ntiers = ["ngram"]\n')
    assert "--write" in run("--data", chat, "--write", tmp_path / "x.json")[2]
    assert "name a single tier" in run("--data", chat, "--cascade", "--config", single)[2]
    assert "cannot be read" in run("--data", tmp_path / "none.jsonl")[2]


def test_measures_are_those_of_the_book() -> None:
    scores, positive = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert auroc(scores, positive) == pytest.approx(0.75)
    assert auroc(np.zeros(4), positive) == pytest.approx(0.5)
    assert calibration_error(reliability(np.array([0.0, 1.0]), np.array([False, True]))) == 0
    assert calibration_error(reliability(np.full(10, 0.9), np.zeros(10, bool))) == pytest.approx(0.9)
