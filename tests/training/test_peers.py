"""The peers' own packages are not needed: a small network of their shape stands for them."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from training.evaluate import Scored, by_label, by_set, written
from training.peers import PEERS, PeerClassifier
from training.peers.lstm import PLACES, Bag, BiLstm, Cell, Tokenizer, Unpickler, hard_sigmoid, sigmoid
from training.rows import Row

from chat_moderator.types import LABELS

CHANCE = np.random.default_rng(2)
ECHO = """
import json, sys
for line in sys.stdin:
    texts = json.loads(line)
    print(json.dumps({"scores": [[len(text) / 10] for text in texts], "seconds": 0.5}), flush=True)
"""


def cell() -> Cell:
    return Cell(*(CHANCE.normal(size=shape).astype(np.float32) for shape in ((3, 8), (2, 8), (8,))))


def dense(into: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    return CHANCE.normal(size=(into, out)).astype(np.float32), np.zeros(out, np.float32)


NETWORK = BiLstm(
    CHANCE.normal(size=(20, 3)).astype(np.float32), cell(), cell(), dense(4, 5), dense(5, 6), hard_sigmoid
)  # fmt: skip


def test_a_score_does_not_depend_on_its_neighbours() -> None:
    sequences = [[], [3], [4, 5, 6], list(range(1, 20)), [7] * PLACES]
    together = NETWORK.score(sequences)
    assert together.shape == (5, 6)
    assert ((together > 0) & (together < 1)).all()
    assert np.abs(together - np.concatenate([NETWORK.score([each]) for each in sequences])).max() < 1e-5
    assert NETWORK.score([]).shape == (0, 6)


def test_the_order_of_words_counts() -> None:
    assert np.abs(NETWORK.score([[4, 5, 6]]) - NETWORK.score([[6, 5, 4]])).max() > 1e-4


def test_both_sigmoids_agree_in_the_middle() -> None:
    assert sigmoid(np.zeros(1, np.float32)) == hard_sigmoid(np.zeros(1, np.float32)) == 0.5
    assert hard_sigmoid(np.array([-9.0, 9.0], np.float32)).tolist() == [0, 1]


def test_a_tokenizer_is_read_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Kept:
        def __init__(self) -> None:
            self.word_index = {"you": 1, "fool": 2, "rare": 3}
            self.num_words = 3
            self.filters = "!,"

    Kept.__qualname__ = Kept.__name__ = "Tokenizer"
    monkeypatch.setattr(sys.modules[__name__], "Tokenizer", Kept)
    content = pickle.dumps(Kept())
    monkeypatch.undo()
    path = tmp_path / "tokenizer.pickle"
    path.write_bytes(content)
    tokenizer = Tokenizer(path)
    assert tokenizer.read("You, FOOL! rare unknown") == [1, 2]
    assert tokenizer.read("you " * 200) == [1] * PLACES


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pickle"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with path.open("rb") as file, pytest.raises(pickle.UnpicklingError, match=r"os\.system is not read"):
        Unpickler(file).load()
    assert not vars(Bag())


@pytest.fixture
def peer() -> PeerClassifier:
    return PeerClassifier("alt-profanity-check", [sys.executable, "-c", ECHO])


def test_a_peer_answers_for_the_labels_it_has(peer: PeerClassifier) -> None:
    scores = peer.score(["abc", "abcde\n"])
    assert scores[:, 0].tolist() == pytest.approx([0.3, 0.6])
    assert np.isnan(scores[:, 1:]).all()
    assert peer.score([]).shape == (0, len(LABELS))
    peer.score(["x"])
    assert peer.processor_seconds() == 1.0
    assert peer.version == "alt-profanity-check 1.9.1"
    peer.close()


def test_a_peer_that_ends_is_said() -> None:
    broken = PeerClassifier("tox-block", [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(RuntimeError, match=r"tox-block 0\.1\.2 ended with 3"):
        broken.score(["x"] * 100_000)


def test_labels_that_a_peer_does_not_know_are_not_measured(peer: PeerClassifier) -> None:
    rows = [
        Row(
            id=str(number), text="a" * (number % 10), source="davidson" if number % 2 else "corpus", language="en",
            labels=[float(number % 10 > 4)] + [0.0] * 8, part="test", functionality="hype",
            verdict="bad" if number % 10 > 4 else "ok",
        )
        for number in range(80)
    ]  # fmt: skip
    scored = Scored(rows, peer.score([row.text for row in rows]))
    assert by_set(scored)["toxicity / davidson"].value == 1
    assert not [name for name in by_label(scored) if not name.startswith("toxicity")]
    assert written(scored)["en: AUROC"].value == 1
    peer.close()


def test_sets_that_a_peer_learnt_from_are_known() -> None:
    assert "davidson" in PEERS["alt-profanity-check"].trained_on
    assert "paradetox" in PEERS["tox-block"].trained_on
