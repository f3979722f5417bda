"""The gate: an alarm a text, whatever stands beside it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from chat_moderator.classifiers.encoder import EncoderClassifier
from chat_moderator.classifiers.gate import Gate
from chat_moderator.errors import ConfigError

TEXTS = ("good game", "you are trash", "trash", "", "a b c d e f g", "game trash " * 10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Random weights over a few pieces."""
    chance = np.random.default_rng(3)

    def layer(*shape: int) -> np.ndarray:
        return (chance.standard_normal(shape) * 0.2).astype(np.float16)

    pieces = ["<unk>", "\u2581good", "\u2581game", "\u2581you", "\u2581are", "\u2581trash", "\u2581", "a", "b"]
    np.savez(
        tmp_path / "gate.npz",
        pieces=np.frombuffer("\n".join(pieces).encode(), np.uint8),
        table=chance.integers(-127, 127, (len(pieces), 8)).astype(np.int8),
        table_scale=np.full(len(pieces), 0.02, np.float32),
        window=layer(24, 16),
        window_bias=layer(16),
        hidden=layer(40, 8),
        hidden_bias=layer(8),
        out=layer(8, 1),
        out_bias=layer(1),
    )
    digest = hashlib.sha256((tmp_path / "gate.npz").read_bytes()).hexdigest()
    (tmp_path / "gate.json").write_text(json.dumps({"sha256": digest}))
    return tmp_path / "gate.npz"


def test_an_alarm_never_depends_on_its_neighbours(path: Path) -> None:
    gate = Gate(path)
    together = gate.score(TEXTS)
    assert together.shape == (len(TEXTS),)
    assert len(set(together.tolist())) > 3
    for index, text in enumerate(TEXTS):
        assert gate.score([text])[0] == pytest.approx(together[index], abs=1e-6)
    assert gate.score(TEXTS[::-1])[::-1] == pytest.approx(together, abs=1e-6)
    assert gate.score([]).shape == (0,)


def test_nothing_alarms_not_and_what_is_too_long_always_does(path: Path) -> None:
    assert Gate(path).score(["", " ", "game " * 65]).tolist() == [0.0, 0.0, 1.0]


def test_it_reads_the_same_with_the_pieces_of_the_encoder(path: Path) -> None:
    encoder = EncoderClassifier()
    assert Gate(path, encoder.pieces).score(TEXTS).tolist() == Gate(path).score(TEXTS).tolist()


def test_a_file_that_is_another_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read as a gate"):
        Gate(tmp_path / "none.npz")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ConfigError, match="sha256 is"):
        Gate(path)
    path.write_bytes(b"x")
    (tmp_path / "gate.json").write_text(json.dumps({"sha256": hashlib.sha256(b"x").hexdigest()}))
    with pytest.raises(ConfigError, match="does not hold a gate"):
        Gate(path)
