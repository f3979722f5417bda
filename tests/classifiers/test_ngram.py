# ruff: noqa: RUF001 -- disguises are what this file is about
import hashlib
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_moderator.classifiers.ngram import Config, NgramClassifier
from chat_moderator.classifiers.ngram_weights import BUNDLED
from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS

CHAT = [
    "gg well played everyone",
    "what time does the stream start tomorrow?",
    "you are a worthless piece of shit and nobody likes you",
    "y o u   a r e   a n   i d i o t",
    "i love this song so much <3",
    "kill yourself",
    "",
    "   ",
    "😂😂😂",
    "これは楽しい",
    "\u202etoidi na era uoy\u202c",
    " ".join(["hello there my friend"] * 60),
    "lol",
]

PROSE = """
When we came back from the market this morning the river had risen over its banks again, so my sister put the boxes of
apples on the table in the hall, and we spent most of the afternoon carrying chairs, books and carpets up to the attic,
where my grandfather used to keep his tools, an old radio and about forty jars of honey that nobody had opened since the
summer of the long drought, which everybody in our village still talks about whenever the bakery runs out of bread.
"""

texts = st.lists(st.text(st.characters(), max_size=40) | st.sampled_from(CHAT), max_size=12)


@pytest.fixture(scope="module")
def ngram() -> NgramClassifier:
    return NgramClassifier()


def toxicity(ngram: NgramClassifier, *batch: str) -> list[float]:
    scores: list[float] = ngram.score(batch)[:, LABELS.index("toxicity")].tolist()
    return scores


def test_gives_a_score_from_0_to_1_for_each_label_of_each_text(ngram: NgramClassifier) -> None:
    scores = ngram.score(CHAT)
    assert ngram.labels == LABELS
    assert scores.shape == (len(CHAT), len(LABELS))
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()


def test_no_texts_give_no_scores(ngram: NgramClassifier) -> None:
    assert ngram.score([]).shape == (0, len(LABELS))
    assert ngram.explain([]) == []


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b\u2060", "\x00", "\ud800"])
def test_a_text_that_says_nothing_scores_nothing(ngram: NgramClassifier, text: str) -> None:
    assert ngram.score([text]).max() < 0.05


def test_tells_plain_abuse_from_plain_chat(ngram: NgramClassifier) -> None:
    abuse = toxicity(ngram, "you are a worthless piece of shit", "shut up you stupid bitch", "fuck off idiot")
    chat = toxicity(
        ngram, "gg well played", "what time does the stream start?", "how do i install this driver", "good morning"
    )
    assert min(abuse) > 0.8
    assert max(chat) < 0.2


@pytest.mark.parametrize(
    "disguised",
    [
        "f u c k   o f f   i d i o t",
        "f.u.c.k o.f.f i.d.i.o.t",
        "fuuuuuck off idiooot",
        "ｆｕｃｋ ｏｆｆ ｉｄｉｏｔ",
        "fu\u200bck o\u200bff id\u200biot",
        "fuсk оff idiоt",
        "\u202etoidi ffo kcuf",
        "&#102;uck off %69diot",
        "FUCK OFF IDIOT",
    ],
)
def test_a_disguise_changes_little(ngram: NgramClassifier, disguised: str) -> None:
    plain, worn = toxicity(ngram, "fuck off idiot", disguised)
    assert worn == pytest.approx(plain, abs=0.1)


def test_padding_does_not_drown_what_was_said(ngram: NgramClassifier) -> None:
    padding = "the weather is nice today and we had a lovely walk " * 40
    assert toxicity(ngram, f"{padding} {PROSE} shut up you stupid bitch {PROSE} {padding}")[0] > 0.5
    assert max(toxicity(ngram, padding * 2, PROSE)) < 0.5


@settings(max_examples=60, deadline=None)
@given(texts, st.randoms(use_true_random=False))
def test_a_score_does_not_depend_on_its_neighbours(
    ngram: NgramClassifier, batch: list[str], chance: random.Random
) -> None:
    together = ngram.score(batch)
    order = list(range(len(batch)))
    chance.shuffle(order)
    shuffled = ngram.score([batch[index] for index in order])
    for place, index in enumerate(order):
        assert np.abs(shuffled[place] - together[index]).max() <= 1e-6
    for text, row in zip(batch, together, strict=True):
        assert np.abs(ngram.score([text])[0] - row).max() <= 1e-6


def test_a_score_does_not_depend_on_what_was_scored_before(ngram: NgramClassifier) -> None:
    assert np.array_equal(NgramClassifier().score(CHAT[::-1])[::-1], ngram.score(CHAT))


@settings(max_examples=60, deadline=None)
@given(texts)
def test_spans_lie_in_the_original(ngram: NgramClassifier, batch: list[str]) -> None:
    for text, spans in zip(batch, ngram.explain(batch), strict=True):
        for span in spans:
            assert 0 <= span.start < span.end <= len(text)
            assert span.label in LABELS


def test_explains_with_the_words_that_were_meant(ngram: NgramClassifier) -> None:
    text = "good morning everyone, f u c k   y o u and have a nice day"
    spans = ngram.explain([text])[0]
    assert any("f u c k" in text[span.start : span.end] for span in spans)
    assert not any("morning" in text[span.start : span.end] for span in spans)


def test_a_flood_of_new_words_does_not_grow_memory(ngram: NgramClassifier) -> None:
    chance = random.Random(1)

    def flood() -> int:
        for _ in range(8):
            ngram.score([" ".join(f"{chance.getrandbits(60):x}" for _ in range(10)) for _ in range(1000)])
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    first = flood()
    assert flood() - first < 30_000_000


@pytest.mark.parametrize("text", ["x" * 20_000, "a " * 10_000, "é\u0301" * 10_000, "你" * 20_000, "f.u.c.k " * 2_500])
def test_a_text_of_the_greatest_length_is_scored(ngram: NgramClassifier, text: str) -> None:
    assert np.isfinite(ngram.score([text, text])).all()


def test_its_version_names_its_weights(ngram: NgramClassifier) -> None:
    pinned = json.loads(BUNDLED.with_suffix(".json").read_text())["sha256"]
    assert ngram.version == f"ngram-{pinned[:12]}"
    assert set(ngram.experimental) < set(LABELS)


def test_refuses_weights_that_are_not_those_it_was_told_of(tmp_path: Path) -> None:
    for name in ("ngram.npz", "ngram.json"):
        shutil.copy(BUNDLED.parent / name, tmp_path)
    changed = tmp_path / "ngram.npz"
    changed.write_bytes(changed.read_bytes() + b"\0")
    with pytest.raises(ConfigError, match="sha256"):
        NgramClassifier(Config(model=str(tmp_path)))


def test_says_where_weights_are_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.*allowed are") as refused:
        NgramClassifier(Config(model=str(tmp_path / "nowhere")))
    assert refused.value.path == "classifiers.ngram.model"


def test_refuses_pickled_weights(tmp_path: Path) -> None:
    path = tmp_path / "ngram.npz"
    np.savez(path, gaps=np.array([object()], dtype=object), allow_pickle=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps({"sha256": digest, "labels": list(LABELS)}))
    with pytest.raises(ConfigError, match="does not hold n-gram weights"):
        NgramClassifier(Config(model=str(tmp_path)))
