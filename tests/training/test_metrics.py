import random

import numpy as np
import pytest
from training.disguises import DISGUISES, disguise
from training.metrics import auroc, calibration_error, macro_f1, share, with_interval
from training.unseen_disguises import FUZZY, UNDOABLE, put_on

SCORES = np.array([0.1, 0.4, 0.35, 0.8], np.float32)
POSITIVE = np.array([False, False, True, True])


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    assert auroc(SCORES, POSITIVE) == pytest.approx(0.75)
    assert auroc(np.zeros(4, np.float32), POSITIVE) == pytest.approx(0.5)
    assert np.isnan(auroc(SCORES, np.zeros(4, bool)))


def test_an_interval_holds_its_value_and_is_the_same_each_time() -> None:
    flags = np.arange(500) % 4 == 0
    scores = np.zeros(500, np.float32)
    first = with_interval(share, scores, flags)
    assert first.low < first.value == 0.25 < first.high
    assert first == with_interval(share, scores, flags)
    assert (first.texts, first.positives) == (500, 125)


def test_no_texts_are_no_measure() -> None:
    assert np.isnan(with_interval(share, SCORES[:0], POSITIVE[:0]).value)


def test_macro_f1_weighs_both_classes_alike() -> None:
    assert macro_f1(POSITIVE, POSITIVE) == 1
    assert macro_f1(np.ones(4, bool), POSITIVE) == pytest.approx(1 / 3)


def test_calibration_error_is_the_distance_from_what_happened() -> None:
    assert calibration_error(np.array([0.0, 1.0], np.float32), np.array([False, True])) == 0
    assert calibration_error(np.full(10, 0.9, np.float32), np.zeros(10, bool)) == pytest.approx(0.9)


@pytest.mark.parametrize("put", DISGUISES)
def test_a_disguise_takes_any_word_of_three_letters(put: object) -> None:
    chance = random.Random(0)
    for word in ("abc", "ooo", "Banana", "été"):
        assert callable(put)
        assert put(word, chance)


def test_disguises_stay_on_the_stretches_that_tell() -> None:
    for seed in range(50):
        hidden = disguise("good banana morning", random.Random(seed), [(5, 11)])
        assert hidden.startswith("good ")
        assert hidden.endswith(" morning")


@pytest.mark.parametrize("name", [*UNDOABLE, *FUZZY])
def test_disguises_of_the_evaluation_change_the_text(name: str) -> None:
    assert put_on(name, "what a banana") != "what a banana"
    assert put_on(name, "what a banana", [(7, 13)]).startswith("what a ")
