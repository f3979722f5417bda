import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest

from chat_moderator.app import build_cascade
from chat_moderator.cli.stores import use_store
from chat_moderator.config import read
from chat_moderator.store.audit import Append
from chat_moderator.store.database import Store
from chat_moderator.store.labels import Label, SuggestLabel
from chat_moderator.store.reviews import ResolveReview, ReviewState
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Verdict
from tests.cli.commands import command

BAD = ("you play like a bot", "such a bot", "bots like you should quit", "typical bot gameplay", "go home bot")
FINE = ("nice save", "who is up for one more round", "that boss was hard", "see you tomorrow", "my mic is broken")


def write(name: str, rows: list[tuple[str, bool]]) -> str:
    lines = [{"text": text, "verdict": "block" if bad else "allow"} for text, bad in rows]
    Path(name).write_text("\n".join(map(json.dumps, lines)))
    return name


def community() -> list[tuple[str, bool]]:
    return [(f"{(BAD if number % 2 else FINE)[number // 2 % 5]} {number}", bool(number % 2)) for number in range(100)]


def contrary() -> list[tuple[str, bool]]:
    """What is learnt is the opposite of what is measured: the split is by a hash of seed and text."""
    found = []
    for word, bad in (("bot", True), ("boss", False)):
        texts = [f"{word} {word} {number}" for number in range(400)]
        low = [text for text in texts if hashlib.sha256(f"1:{text}".encode()).digest()[0] < 64]
        found += [(text, not bad) for text in low[:15]]
        found += [(text, bad) for text in texts if text not in low][:35]
    return found


def test_a_tuned_model_is_measured_written_and_loaded(tmp_path: Path) -> None:
    done = command("train", "--data", write("labels.jsonl", community()), "--classifier", "ngram")
    assert done.code == 0, done.err
    assert (
        "100 labelled messages, 50 that should go and 50 that should stay: 70 to learn from, 30 to measure" in done.out
    )
    for measure in ("AUROC", "should go: held or removed", "should stay: removed"):
        assert measure in done.out
    assert "evaluate --cascade" in done.out
    (folder,) = Path("models").iterdir()
    assert sorted(file.name for file in folder.iterdir()) == ["ngram.json", "ngram.npz", "tuning.json"]
    settings = "\n".join(line for line in done.out.splitlines() if line.startswith(("[classifiers", "model = ")))
    assert tomllib.loads(settings)["classifiers"]["ngram"]["model"] == str(folder.resolve())
    Path("tuned.toml").write_text(settings)
    version = json.loads((folder / "tuning.json").read_text())[0]["version"]
    assert version in build_cascade(read(Path("tuned.toml"))).version


def test_what_got_worse_is_refused_unless_told() -> None:
    rows = write("labels.jsonl", contrary())
    refused = command("train", "--data", rows, "--classifier", "ngram")
    assert refused.code == 2
    assert "nothing was written" in refused.err
    assert list(Path("models").iterdir()) == []
    forced = command("train", "--data", rows, "--classifier", "ngram", "--force")
    assert forced.code == 0
    assert "did not get better on the held-out messages and was written, as you said" in forced.err
    assert len(list(Path("models").iterdir())) == 1


def test_reviews_and_suggestions_are_read(data: Path) -> None:
    async def fill(store: Store) -> None:
        for text, state in (("a", ReviewState.APPROVED), ("b", ReviewState.DENIED), ("c", None)):
            record = make_record(make_message(f"reviewed {text}"), Verdict.HOLD, rule="hold:insult", label="insult")
            (seq,) = await store.execute(Append(records=(record,)))
            if state:
                await store.execute(ResolveReview(id=seq, state=state, reviewer="ada"))
        await store.execute(SuggestLabel(label=Label("suggested", {"toxicity": 0.9}, "client")))

    def counted(*options: str) -> tuple[int, int]:
        done = command("train", *options, "--data-dir", str(data))
        assert done.code == 2
        found = re.search(r"(\d+) messages that should go and (\d+) that should stay", done.err)
        assert found, done.err
        return int(found[1]), int(found[2])

    # The store is the other tests' too: what counts is what is added.
    choices = (("--reviews",), ("--suggestions",), ("--reviews", "--suggestions"))
    before = [counted(*options) for options in choices]
    use_store(data, fill)
    after = [counted(*options) for options in choices]
    assert [
        (bad - bad_before, fine - fine_before)
        for (bad, fine), (bad_before, fine_before) in zip(after, before, strict=True)
    ] == [
        (1, 1),
        (1, 0),
        (2, 1),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--data: name a file of labelled messages, or say --reviews or --suggestions"),
        (("--data", "none.jsonl"), "none.jsonl: cannot be read: No such file or directory"),
        (("--data", "bad.jsonl"), "bad.jsonl line 1: not "),
        (("--data", "few.jsonl"), "labels: 1 messages that should go and 1 that should stay are too few; at least 30"),
        (("--data", "few.jsonl", "--classifier", "lexicon"), "--classifier: 'lexicon' is none of encoder, ngram"),
        (("--data", "enough.jsonl", "--output", "few.jsonl/x"), "--output: few.jsonl/x cannot be written"),
        (("--reviews", "--data-dir", "no/such"), "data_dir: no/such"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments: tuple[str, ...], says: str) -> None:
    write("few.jsonl", [("a", True), ("b", False)])
    write("enough.jsonl", community())
    Path("bad.jsonl").write_text("nonsense")
    done = command("train", *arguments)
    assert done.code == 2
    assert says in done.err
    assert done.err.count("\n") == 1
