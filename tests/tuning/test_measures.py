import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.tuning.measures import auroc, change, share, with_interval

BOTH = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=30).filter(
    lambda rows: len({positive for _, positive in rows}) == 2
)


@given(BOTH)
def test_auroc_is_how_often_a_positive_scores_above_a_negative(rows: list[tuple[int, bool]]) -> None:
    wins = [
        (high > low) + 0.5 * (high == low) for high, yes in rows if yes for low, other in rows if not other
    ]  # fmt: skip
    scores = np.array([score for score, _ in rows], np.float32)
    assert auroc(scores, np.array([positive for _, positive in rows])) == pytest.approx(sum(wins) / len(wins))


def test_nothing_to_measure_is_no_number() -> None:
    none = np.zeros(0, np.float32)
    assert math.isnan(with_interval(auroc, none, none > 0).value)
    assert math.isnan(auroc(np.ones(3, np.float32), np.ones(3, bool)))


def test_a_change_is_measured_on_the_same_texts() -> None:
    chance = np.random.default_rng(1)
    flags = chance.random(60) < 0.5
    before = chance.random(60).astype(np.float32)
    nothing = change(auroc, before, before, flags)
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    better = change(auroc, before, before + flags, flags)
    assert 0 < better.low <= better.value <= better.high
    assert with_interval(share, before, flags).value == flags.mean()
