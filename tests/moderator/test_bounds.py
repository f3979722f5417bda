"""Bounds on a share of which a sample was seen."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.moderator.bounds import at_most, upper_bound


@pytest.mark.parametrize(
    ("events", "trials", "bound"), [(0, 10, 0.2589), (1, 20, 0.2161), (5, 100, 0.1023), (20, 1000, 0.0289)]
)
def test_the_bound_is_that_of_clopper_and_pearson(events: int, trials: int, bound: float) -> None:
    assert upper_bound(events, trials) == pytest.approx(bound, abs=5e-4)


def test_without_a_single_trial_anything_is_possible() -> None:
    assert upper_bound(0, 0) == 1.0
    assert at_most(0, 0, 0.5) == 1.0


def test_the_probability_is_the_sum_of_its_terms() -> None:
    exact = sum(math.comb(30, k) * 0.1**k * 0.9 ** (30 - k) for k in range(4))
    assert at_most(3, 30, 0.1) == pytest.approx(exact)


@given(st.integers(0, 400), st.integers(1, 400), st.floats(0.01, 0.99))
def test_a_bound_is_above_what_was_seen_and_grows_with_it(events: int, trials: int, confidence: float) -> None:
    events = min(events, trials)
    bound = upper_bound(events, trials, confidence=confidence)
    assert bound <= 1.0
    assert confidence < 0.5 or bound >= events / trials - 1e-9
    assert upper_bound(max(events - 1, 0), trials, confidence=confidence) <= bound + 1e-9
