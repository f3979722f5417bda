from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_moderator.classifiers.lexicon import BUNDLED, LexiconClassifier
from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS


@pytest.fixture(scope="module")
def lexicon() -> LexiconClassifier:
    return LexiconClassifier()


@pytest.fixture
def own(tmp_path: Path) -> LexiconClassifier:
    path = tmp_path / "terms.tsv"
    path.write_text(
        "# a comment\n"
        "en\tinsult,toxicity\t0.8\tpumpkin\n"
        "en\tinsult\t0.5\trotten pumpkin\n"
        "en\tallow\t0\tpumpkin pie\n"
        "zh\tthreat\t0.9\t南瓜\n",
        encoding="utf-8",
    )
    return LexiconClassifier(path)


def found(classifier: LexiconClassifier, text: str) -> dict[str, float]:
    return {
        label: round(float(score), 2) for label, score in zip(LABELS, classifier.score([text])[0], strict=True) if score
    }


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("you pumpkin!", {"toxicity": 0.8, "insult": 0.8}),
        ("PUMPKIN", {"toxicity": 0.8, "insult": 0.8}),
        ("p u m p k i n", {"toxicity": 0.8, "insult": 0.8}),
        ("pumpk1n", {"toxicity": 0.8, "insult": 0.8}),
        ("\u202enikpmup", {"toxicity": 0.8, "insult": 0.8}),
        ("pumpkins", {}),
        ("bigpumpkinhead", {}),
        ("pumpkin pie", {}),
        ("a pumpkin pie for a pumpkin", {"toxicity": 0.8, "insult": 0.8}),
        ("大南瓜啊", {"threat": 0.9}),
        ("", {}),
    ],
)
def test_whole_words_count_and_allowed_phrases_do_not(
    own: LexiconClassifier, text: str, scores: dict[str, float]
) -> None:
    assert found(own, text) == scores


def test_texts_of_a_batch_do_not_run_into_each_other(own: LexiconClassifier) -> None:
    assert not own.score(["rotten", "pie"]).any()
    batch = ["pumpkin", "rotten", "", "pumpkin", "pie"]
    assert np.array_equal(own.score(batch), np.concatenate([own.score([text]) for text in batch]))


def test_shows_each_term_in_the_original(own: LexiconClassifier) -> None:
    text = "what a ROTTEN  p.u.m.p.k.i.n, 大南瓜"
    shown = {(text[span.start : span.end], span.label) for span in own.explain([text])[0]}
    assert shown == {
        ("p.u.m.p.k.i.n", "insult"),
        ("p.u.m.p.k.i.n", "toxicity"),
        ("ROTTEN  p.u.m.p.k.i.n", "insult"),
        ("大南瓜", "threat"),
    }


@settings(deadline=None)
@given(st.lists(st.text(st.characters(), max_size=40), max_size=5))
def test_takes_any_text(texts: list[str]) -> None:
    classifier = _BUNDLED
    scores = classifier.score(texts)
    assert scores.shape == (len(texts), len(LABELS))
    for text, spans in zip(texts, classifier.explain(texts), strict=True):
        assert all(0 <= span.start < span.end <= len(text) for span in spans)


_BUNDLED = LexiconClassifier()


@pytest.mark.parametrize(
    "text",
    [
        "I live in Scunthorpe",
        "classic assassin assessment",
        "a cockatoo and a peacock",
        "Dickens and Hancock",
        "pass the grass",
        "Essex",
    ],
)
def test_words_within_words_are_not_found(lexicon: LexiconClassifier, text: str) -> None:
    assert found(lexicon, text) == {}


def test_the_bundled_list_has_many_terms_in_thirteen_languages_and_none_twice() -> None:
    lines = [line.split("\t") for line in BUNDLED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert {line[0] for line in lines} == {"en", "de", "fr", "es", "pt", "it", "ru", "tr", "ar", "hi", "zh", "ja", "ko"}
    assert len({(line[0], line[1], line[3]) for line in lines}) == len(lines) > 500


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("en\tinsult\tpumpkin", "expected language, labels, severity and term"),
        ("en\trude\t0.5\tpumpkin", "unknown label 'rude'"),
        ("en\tinsult\tmuch\tpumpkin", "severity must be a number"),
        ("en\tinsult\t2\tpumpkin", "severity must be a number from 0 to 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "terms.tsv"
    path.write_text(f"# comment\n{line}\n")
    with pytest.raises(ConfigError, match=rf"terms\.tsv:2: {problem}"):
        LexiconClassifier(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read as a word list"):
        LexiconClassifier(tmp_path / "nowhere.tsv")
