import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from training.own_texts import acted_on, fancy, load, split

from chat_moderator.errors import ConfigError
from chat_moderator.testing.doubles import WordClassifier


class Blunt(WordClassifier):
    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return super().score(["bad" if re.search("dumb|idiot", text) else "" for text in texts])


@pytest.mark.parametrize("name", ["look-alikes", "contexts", "fancy", "positive-profanity"])
def test_there_are_at_least_200_different_texts(name: str) -> None:
    texts = [text for _, text in load(name)]
    assert len(set(texts)) == len(texts) >= 200


def test_a_line_without_a_kind_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "odd.tsv").write_text("kind\ttext\nonly text\n")
    with pytest.raises(ConfigError, match=r"odd\.tsv:2"):
        load("odd", tmp_path)


def test_shares_are_by_kind_and_over_all() -> None:
    found = acted_on(Blunt(), "contexts")
    quoting = found["contexts: quoting held or blocked"]
    assert 0 < quoting.value < 0.2
    assert found["contexts: all held or blocked"].texts > quoting.texts


def test_fancy_texts_are_put_into_every_alphabet() -> None:
    assert len(fancy(Blunt())) > 10


def test_only_words_that_are_caught_whole_count_when_split() -> None:
    found = split(Blunt(), [("you idiot and fool", [(4, 9), (14, 18)])], ["nice one all of you", "dumb"])
    assert found["word in 2 messages caught"].texts == 1
    assert found["benign talk in bursts flagged, where it is not whole"].texts == 1
