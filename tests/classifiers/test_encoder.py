import hashlib
import random
import shutil
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_moderator.classifiers.encoder import Config, EncoderClassifier
from chat_moderator.classifiers.encoder_weights import BUNDLED
from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS

ENCODER = EncoderClassifier()
WORDS = [
    "gg",
    "wp",
    "you",
    "are",
    "the",
    "worst",
    "player",
    "kill",
    "boss",
    "nice",
    "one",
    "idiot",
    "love",
    "this",
    "game",
    "你好",
    "いいね",
    "🤡",
    "!!!",
    "sh1t",
    "f",
    "u",
    "c",
    "k",
    "x",
]
TAILS = [f"{first}{second}{third}" for first in "bdfgklmnprstvz" for second in "aeiou" for third in ("", "n", "r")]
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=90).map(" ".join)


def toxicity(text: str) -> float:
    return float(ENCODER.score([text])[0, 0])


@settings(max_examples=40, deadline=None)
@given(st.lists(SENTENCES | st.text(max_size=80), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_a_score_does_not_depend_on_its_neighbours(texts: list[str], chance: random.Random) -> None:
    together = ENCODER.score(texts)
    alone = np.concatenate([ENCODER.score([text]) for text in texts])
    order = list(range(len(texts)))
    chance.shuffle(order)
    shuffled = ENCODER.score([texts[index] for index in order])
    padded = ENCODER.score([*texts, "a much longer message than all the others " * 12])[: len(texts)]
    assert np.abs(together - alone).max() <= 1e-5
    assert np.abs(together[order] - shuffled).max() <= 1e-5
    assert np.abs(together - padded).max() <= 1e-5


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_scores_and_its_spans_lie_within_it(text: str) -> None:
    scores = ENCODER.score([text])
    assert scores.shape == (1, len(LABELS))
    assert ((scores >= 0) & (scores <= 1)).all()
    for span in ENCODER.explain([text])[0]:
        assert 0 <= span.start < span.end <= len(text)
        assert span.label in LABELS


def test_no_text_and_no_texts_are_fine() -> None:
    assert ENCODER.score([]).shape == (0, len(LABELS))
    assert not ENCODER.score(["", "   ", "\u200b"]).any()
    assert ENCODER.explain([""]) == [()]


def test_lone_surrogates_and_nul_are_scored() -> None:
    assert np.isfinite(ENCODER.score(["\ud800", "\0", "you \udfff idiot"])).all()


@pytest.mark.parametrize(
    ("fine", "abuse"),
    [
        ("I love this game", "I hate you, you worthless idiot"),
        ("nobody should ever call you worthless", "you are worthless and nobody likes you"),
        ("let's kill the boss before it heals", "I will find you and kill you"),
    ],
)
def test_abuse_scores_higher_than_what_only_sounds_like_it(fine: str, abuse: str) -> None:
    assert toxicity(fine) < toxicity(abuse)


def test_disguised_abuse_is_still_abuse() -> None:
    plain = toxicity("you absolute fucking idiot")
    for disguised in (
        "you absolute f u c k i n g idiot",
        "you absolute fu\u0441king idi\u043et",
        "you absolute fuck\u200bing idiot",
    ):
        assert abs(toxicity(disguised) - plain) < 0.1, disguised


def test_talk_around_it_does_not_drown_abuse() -> None:
    talk = "we went to the market and bought some bread and then the train was late again " * 40
    abuse = "you worthless fucking idiot"
    assert toxicity(f"{talk} {abuse} {talk}") > 0.3
    assert toxicity(talk) < 0.05


def test_time_grows_with_the_text_and_not_with_its_square() -> None:
    text = " ".join(f"{number:x}" for number in range(5000))[:20_000]

    def seconds(part: str) -> float:
        begin = time.process_time()
        ENCODER.score([part])
        return time.process_time() - begin

    short = min(seconds(text[:2000]) for _ in range(5))
    assert min(seconds(text) for _ in range(3)) < 40 * short


def test_an_explanation_shows_the_words_that_matter() -> None:
    text = "good game everyone, but nobody asked you, idiot"
    shown = " ".join(text[span.start : span.end] for span in ENCODER.explain([text])[0] if span.label == "toxicity")
    assert "idiot" in shown
    assert "good" not in shown


def test_the_version_is_that_of_the_weights() -> None:
    assert ENCODER.version == EncoderClassifier(Config("bundled")).version
    assert set(ENCODER.experimental) < set(ENCODER.labels) == set(LABELS)


def test_the_weights_are_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) <= 27_000_000


def test_a_copied_folder_is_the_same_model(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED, tmp_path / "mine")
    mine = EncoderClassifier(Config(model=str(tmp_path / "mine")))
    assert mine.version == ENCODER.version
    assert (mine.score(["hello there"]) == ENCODER.score(["hello there"])).all()


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"classifiers\.encoder\.model.*allowed are") as refused:
        EncoderClassifier(Config(model=str(tmp_path / "nothing")))
    assert refused.value.path == "classifiers.encoder.model"


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED, tmp_path / "mine")
    weights = tmp_path / "mine" / "encoder.npz"
    changed = bytearray(weights.read_bytes())
    changed[len(changed) // 2] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(changed)
    with pytest.raises(ConfigError, match="sha256"):
        EncoderClassifier(Config(model=str(tmp_path / "mine")))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_encoder_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "encoder.npz").write_bytes(content)
    metadata = {"sha256": hashlib.sha256(content).hexdigest(), "labels": LABELS}
    (tmp_path / "encoder.json").write_bytes(msgspec.json.encode(metadata))
    with pytest.raises(ConfigError, match="does not hold an encoder"):
        EncoderClassifier(Config(model=str(tmp_path)))


def test_metadata_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "encoder.npz").write_bytes(b"")
    (tmp_path / "encoder.json").write_text("{")
    with pytest.raises(ConfigError, match="allowed are"):
        EncoderClassifier(Config(model=str(tmp_path)))


def test_an_explanation_is_the_same_however_it_is_asked_for() -> None:
    talk = "we went to the market and bought some bread and then the train was late again "
    texts = [
        "you are a fucking idiot",
        "good game",
        "",
        f"{talk * 6} you worthless fucking idiot {talk * 3} I will kill you {talk}",
        "I hate you, you worthless idiot",
        "f u c k you all",
        "haha haha haha you idiot idiot idiot",
    ] + [f"you are number {number} of the idiots, fuck off" for number in range(400)]
    fresh = EncoderClassifier()
    alone = [fresh.explain([text])[0] for text in texts[:7]]
    together = fresh.explain(texts)
    fresh.score(texts)
    assert together[:7] == alone
    assert fresh.explain(texts) == together
    assert fresh.explain(texts[:7]) == alone


def test_to_explain_what_was_just_scored_costs_about_as_much_as_to_score_it() -> None:
    texts = [f"you are number {number} of the fucking idiots" for number in range(20)]

    def seconds() -> tuple[float, float]:
        begin = time.process_time()
        ENCODER.score(texts)
        scored = time.process_time()
        ENCODER.explain(texts)
        return scored - begin, time.process_time() - scored

    tries = [seconds() for _ in range(7)]
    assert min(explained for _, explained in tries) < 3 * min(scored for scored, _ in tries)


def test_more_pieces_than_are_remembered_change_no_score() -> None:
    texts = ["you worthless idiot", "good game"]
    before = ENCODER.score(texts)
    words = [f"{first}{second}{third}" for first in "bcdfgklm" for second in "aeiou" for third in TAILS]
    ENCODER.score([" ".join(words[begin : begin + 20]) for begin in range(0, len(words), 20)])
    assert np.abs(ENCODER.score(texts) - before).max() <= 1e-6
