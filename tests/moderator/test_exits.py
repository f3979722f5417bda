"""Early exits: they keep their promises on texts that nobody calibrated on."""

from pathlib import Path

import numpy as np
import pytest

from chat_moderator.errors import ConfigError
from chat_moderator.moderator.exits import LEVELS, Sample, choose, levels, read, sample, write

LIMITS = ({"toxicity": 0.5, "threat": 0.5},)
PROMISES = {"max_disagreement": 0.005, "max_missed": 0.05}


def drawn(chance: np.random.Generator, texts: int, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Levels and top scores of a chat of which four in a hundred are acted on; the gate sees most of them."""
    acted = chance.random(texts) < 0.04
    alarm = 1 / (1 + np.exp(-(chance.normal(-5, spread, texts) + 4 * acted)))
    top = np.where(acted[:, None], chance.uniform(0.5, 1, (texts, 2)), chance.uniform(0, 0.45, (texts, 2)))
    return levels(alarm), top


def made(found: np.ndarray, top: np.ndarray) -> Sample:
    return sample(("cheap-1", "top-1"), ("toxicity", "threat"), [found], top)


def test_the_promises_hold_in_95_of_100_draws() -> None:
    """On the true shares, not on the sample's: a chooser that merely looked at the sample would fail half of these."""
    chance = np.random.default_rng(11)
    fresh, top = drawn(chance, 400_000)
    acted = (top >= 0.5).any(axis=1)
    broken = taken = 0
    draws = 200
    for _ in range(draws):
        (found,) = choose(made(*drawn(chance, 8_000)), LIMITS, **PROMISES)
        if found is None:
            continue
        taken += 1
        missed = acted & (fresh < found.level)
        broken += missed.sum() / acted.sum() > PROMISES["max_missed"] or missed.mean() > PROMISES["max_disagreement"]
    assert taken > draws * 0.9
    assert broken <= draws * 0.05 + 4


def test_an_exit_lets_through_what_is_quiet_and_says_what_it_costs() -> None:
    found, top = drawn(np.random.default_rng(1), 20_000)
    (one,) = choose(made(found, top), LIMITS, **PROMISES)
    assert one is not None
    assert one.below == (found < one.level).sum() > 10_000
    assert one.missed == ((top >= 0.5).any(axis=1) & (found < one.level)).sum()
    assert (one.acted, one.texts) == ((top >= 0.5).any(axis=1).sum(), 20_000)


def test_a_stricter_promise_is_a_stricter_exit() -> None:
    kept = made(*drawn(np.random.default_rng(2), 20_000))
    (loose,) = choose(kept, LIMITS, max_disagreement=0.02, max_missed=0.2)
    (strict,) = choose(kept, LIMITS, **PROMISES)
    assert loose is not None
    assert strict is not None
    assert strict.level < loose.level


def test_where_too_little_was_seen_nothing_leaves() -> None:
    assert choose(made(*drawn(np.random.default_rng(3), 300)), LIMITS, **PROMISES) == (None,)
    quiet = np.zeros((20_000, 2))
    assert choose(made(levels(quiet[:, 0]), quiet), LIMITS, **PROMISES) == (None,)


def test_where_nothing_may_be_missed_nothing_leaves() -> None:
    kept = made(*drawn(np.random.default_rng(4), 20_000))
    assert choose(kept, LIMITS, max_disagreement=0.0, max_missed=0.05) == (None,)


def test_a_policy_that_acts_on_less_has_its_own_exit_and_the_strictest_place_counts() -> None:
    chance = np.random.default_rng(5)
    score = chance.beta(0.3, 4, 20_000)
    kept = made(levels(np.clip(score * 0.8, 0, 1)), np.column_stack([score, score * 0]))
    (default,) = choose(kept, LIMITS, **PROMISES)
    (youth,) = choose(kept, ({"toxicity": 0.3},), **PROMISES)
    assert default is not None
    assert youth is not None
    assert youth.level < default.level
    assert youth.acted > default.acted
    assert choose(kept, (*LIMITS, {"toxicity": 0.3}), **PROMISES) == (youth,)


@pytest.mark.parametrize("limits", [(), ({"toxicity": 0.05},), (*LIMITS, {"threat": 0.0})])
def test_a_policy_that_acts_on_nearly_anything_has_none(limits: tuple[dict[str, float], ...]) -> None:
    assert choose(made(*drawn(np.random.default_rng(6), 20_000)), limits, **PROMISES) == (None,)


def test_several_exits_share_the_promises() -> None:
    found, top = drawn(np.random.default_rng(7), 20_000)
    kept = sample(("a", "b", "c"), ("toxicity", "threat"), [found, found], top)
    first, second = choose(kept, LIMITS, **PROMISES)
    (alone,) = choose(made(found, top), LIMITS, **PROMISES)
    assert first == second
    assert first is not None
    assert alone is not None
    assert first.level < alone.level


def test_levels_grow_with_the_alarm_and_stay_in_range() -> None:
    found = levels(np.array([0.0, 1e-4, 1e-3, 0.01, 0.5, 0.99, 1.0]))
    assert (np.diff(found) > 0).sum() >= 5
    assert found.min() >= 0
    assert found.max() < LEVELS


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    kept = made(*drawn(np.random.default_rng(8), 2_000))
    write(tmp_path / "exits.json", kept)
    assert read(tmp_path / "exits.json", "cascade.exits") == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"tiers":["a"],"labels":["toxicity"],"quiet":[],"heard":[]}',
        '{"tiers":["a","b"],"labels":["toxicity"],"quiet":[[1]],"heard":[]}',
        f'{{"tiers":["a","b"],"labels":["toxicity"],"quiet":[{[0] * LEVELS}],"heard":[[300,1]]}}',
        f'{{"tiers":["a","b"],"labels":["toxicity"],"quiet":[{[0] * LEVELS}],"heard":[[1]]}}',
        f'{{"tiers":["a","b"],"labels":["toxicity"],"quiet":[{[0] * LEVELS}],"heard":[],"format":2}}',
    ],
)
def test_a_file_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "exits.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"cascade\.exits: .*exits\.json does not hold calibrated exits"):
        read(path, "cascade.exits")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cascade\.exits: .*cannot be read"):
        read(tmp_path / "none.json", "cascade.exits")
