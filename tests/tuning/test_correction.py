import numpy as np
import pytest
from numpy.typing import NDArray

from chat_moderator.tuning import correction

CHANCE = np.random.default_rng(3)
FEATURES = CHANCE.normal(size=(120, 6)).astype(np.float32) / np.float32(2)
PRODUCTS = FEATURES @ FEATURES.T + np.float32(1)
WANTED = (FEATURES[:, :2] > 0).astype(np.float32)
ONES = np.ones_like(WANTED)
NOTHING = np.zeros_like(WANTED)


def loss(logits: NDArray[np.float32]) -> float:
    return float((np.logaddexp(0, logits) - WANTED * logits).mean())


def test_what_is_wanted_is_learnt_the_more_the_less_it_costs() -> None:
    losses = [loss(PRODUCTS @ correction.fit(PRODUCTS, NOTHING, WANTED, ONES, cost)) for cost in correction.PENALTIES]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * loss(NOTHING)


def test_where_the_shipped_answers_are_right_nothing_changes() -> None:
    shipped = CHANCE.normal(size=WANTED.shape).astype(np.float32)
    targets, weights = correction.targets(
        [{}] * len(shipped), ("a", "b"), (1 / (1 + np.exp(-shipped))).astype(np.float32)
    )
    shares = correction.fit(PRODUCTS, shipped, targets, weights, 0.01)
    assert np.abs(PRODUCTS @ shares).max() < 1e-3


def test_the_result_is_where_the_loss_is_least() -> None:
    shares = correction.fit(PRODUCTS, NOTHING, WANTED, ONES, 0.1)
    residual = (1 / (1 + np.exp(-(PRODUCTS @ shares))) - WANTED) / len(WANTED)
    assert np.abs(residual + 0.1 * shares).max() < 1e-4


def test_chance_alone_is_hardly_followed() -> None:
    noise = (CHANCE.random(WANTED.shape) < 0.5).astype(np.float32)
    signal = correction.choose(PRODUCTS, NOTHING, WANTED, ONES)
    assert correction.choose(PRODUCTS, NOTHING, noise, ONES) > signal


def test_abuse_counts_for_a_quarter_whatever_its_share() -> None:
    weights = correction.balance([True] * 30 + [False] * 10 + [None] * 4)[:, 0]
    assert weights[:30].sum() == pytest.approx(10)
    assert weights[30:40].sum() == pytest.approx(30)
    assert (weights[40:] == 1).all()
