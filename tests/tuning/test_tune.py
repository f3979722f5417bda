"""A community that takes a harmless word for an insult: both classifiers learn it, and forget nothing else."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from chat_moderator.classifiers.encoder import Config as EncoderConfig
from chat_moderator.classifiers.encoder import EncoderClassifier
from chat_moderator.classifiers.ngram import Config as NgramConfig
from chat_moderator.classifiers.ngram import NgramClassifier
from chat_moderator.errors import ConfigError
from chat_moderator.tuning.encoder import EncoderReading
from chat_moderator.tuning.ngram import NgramReading
from chat_moderator.tuning.reading import Reading
from chat_moderator.tuning.rows import Row, split
from chat_moderator.tuning.tune import TUNABLE, Tuned, check, tune

BAD = ("you play like a bot", "such a bot", "bots like you should quit", "typical bot gameplay", "go home bot")
FINE = ("nice save", "who is up for one more round", "that boss was hard", "see you tomorrow", "my mic is broken")
ODD = ["", "...", "\ud800", "w " * 300, "y o u   b o t", "你这个废物", "a\x00b", "word " * 25 + "bot " + "word " * 25]


def rows(count: int = 120) -> list[Row]:
    chance = random.Random(5)
    found = []
    for number in range(count):
        bad = number % 2 == 0
        text = f"{chance.choice(BAD if bad else FINE)} {number}"
        found.append(Row(text, {"toxicity": float(bad), "insult": float(bad)}))
    return found


@pytest.fixture(scope="module", params=sorted(TUNABLE))
def tuned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tuned]:
    folder = tmp_path_factory.mktemp(request.param)
    learnt, measured = split(rows(), 0.3, 1)
    return folder, tune(request.param, learnt, measured, folder, seed=1)


def load(folder: Path, name: str) -> NgramClassifier | EncoderClassifier:
    if name == "ngram":
        return NgramClassifier(NgramConfig(model=str(folder)))
    return EncoderClassifier(EncoderConfig(model=str(folder)))


def test_the_community_s_words_are_learnt_and_the_rest_is_not_forgotten(tuned: tuple[Path, Tuned]) -> None:
    folder, result = tuned
    assert not result.worse
    area, right, *_ = result.measures
    assert area.after.value > max(0.85, area.before.value + 0.1)
    assert right.change.value >= 0
    before = NgramClassifier() if result.name == "ngram" else EncoderClassifier()
    texts = ["bots like you", "you are a fucking idiot", "good morning", "nice save"]
    old, new = before.score(texts)[:, 0], load(folder, result.name).score(texts)[:, 0]
    assert new[0] > old[0]
    assert new[1] > 0.5 > new[2:].max()


def test_the_version_changes_and_the_base_is_noted(tuned: tuple[Path, Tuned]) -> None:
    folder, result = tuned
    metadata = json.loads((folder / f"{result.name}.json").read_text())
    assert load(folder, result.name).version == result.version != result.base == metadata["base"]
    assert metadata["rows"] == {"learnt": 84, "measured": 36}
    assert {"seed", "data", "penalty"} <= set(metadata)


def test_a_score_still_does_not_depend_on_its_neighbours(tuned: tuple[Path, Tuned]) -> None:
    folder, result = tuned
    classifier = load(folder, result.name)
    texts = [*ODD, *BAD, *FINE]
    alone = np.concatenate([classifier.score([text]) for text in texts])
    assert np.abs(classifier.score(texts) - alone).max() <= 1e-5
    assert all(0 <= span.start < span.end <= len(text) for text in texts for span in classifier.explain([text])[0])


@pytest.mark.parametrize("reading", [NgramReading, EncoderReading])
def test_no_correction_changes_nothing_and_odd_texts_are_read(reading: type[Reading], tmp_path: Path) -> None:
    read = reading([*ODD, *BAD])  # type: ignore[call-arg]
    assert np.isfinite(read.products).all()
    assert np.abs(read.products - read.products.T).max() < 1e-4
    same = read.write(np.zeros_like(read.logits), tmp_path, {"labels": read.classifier.labels})
    assert np.abs(same.score(BAD) - read.classifier.score(BAD)).max() < 1e-6


@pytest.mark.parametrize("reading", [NgramReading, EncoderReading])
def test_the_file_says_what_was_learnt(reading: type[Reading], tmp_path: Path) -> None:
    read = reading([*BAD, *FINE])  # type: ignore[call-arg]
    shares = np.zeros_like(read.logits)
    shares[:, 0] = [0.5] * len(BAD) + [-0.5] * len(FINE)
    wanted = read.logits[:, 0] + (read.products @ shares)[:, 0]
    scores = read.write(shares, tmp_path, {"labels": read.classifier.labels}).score([*BAD, *FINE])[:, 0]
    assert np.abs(np.log(scores / (1 - scores)) - wanted).max() < 0.2


def test_too_few_messages_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 30 of each"):
        check(rows(40))
    check(rows(60))
