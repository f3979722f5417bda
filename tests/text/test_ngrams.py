import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_moderator.text.ngrams import BITS, SIZES, pair_hashes, word_features


def features(word: str, *others: str) -> list[int]:
    found = word_features([*others, word])
    grams = found.grams[found.starts[-1] :]
    return sorted([int(found.whole[-1]), *grams[grams >= 0].tolist()])


def test_a_word_has_an_n_gram_of_each_size_at_each_place_and_itself() -> None:
    bounded = len("chat") + 2
    assert len(features("chat")) == 1 + sum(bounded - size + 1 for size in SIZES)


def test_a_short_word_has_only_n_grams_that_fit() -> None:
    assert len(features("a")) == 1 + 2 + 1


def test_unspaced_scripts_count_their_characters_too() -> None:
    assert len(features("你好")) == len(features("ab")) + 2


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(), min_size=1, max_size=12), min_size=1, max_size=5), st.text(min_size=1, max_size=9)
)
def test_features_of_a_word_do_not_depend_on_the_words_beside_it(others: list[str], word: str) -> None:
    assert features(word, *others) == features(word)


@pytest.mark.parametrize(("one", "other"), [("ab", "ba"), ("a", "aa"), ("abc", "abd"), ("x" * 300, "x" * 301)])
def test_different_words_have_different_hashes(one: str, other: str) -> None:
    first, second = word_features([one, other]).hashes
    assert first != second


def test_pairs_have_an_order() -> None:
    hashes = word_features(["kill", "time"]).hashes
    assert (pair_hashes(hashes, hashes[::-1])[0]) != (pair_hashes(hashes, hashes[::-1])[1])


def test_buckets_are_spread_evenly() -> None:
    buckets = word_features([f"word{index}" for index in range(20_000)]).whole
    assert buckets.min() >= 0
    assert buckets.max() < 1 << BITS
    assert len(np.unique(buckets)) > 19_900
    assert abs(np.bincount(buckets >> (BITS - 4), minlength=16) - 1250).max() < 200
