"""The page on policy tells all there is."""

from pathlib import Path

import pytest

from chat_moderator.policy.facts import FACTS, OPTIONAL
from chat_moderator.policy.names import FUNCTIONS, METHODS
from chat_moderator.policy.presets import PRESETS
from chat_moderator.types import LABELS

NONE = "\N{EN DASH}"
PAGE = (Path(__file__).parents[2] / "docs/concepts/policy.md").read_text("utf-8")


@pytest.mark.parametrize(
    "name",
    [
        *("scores.LABEL", "hints.LABEL"),
        *(f"{root}.{field}" for root, fields in FACTS.items() if root not in {"scores", "hints"} for field in fields),
        *FUNCTIONS,
        *METHODS,
    ],
)
def test_what_a_rule_can_ask_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_what_may_be_unknown_is_marked() -> None:
    rows = [line for line in PAGE.splitlines() if "**may be unknown**" in line]
    assert [f"`{root}.{field}`" in row for (root, field), row in zip(OPTIONAL, rows, strict=True)] == [True]


@pytest.mark.parametrize("column", range(1, 4))
def test_the_presets_numbers_are_the_real_ones(column: int) -> None:
    table = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    head = next(row for row in table if row[0] == "block / hold at")
    rows = [row for row in table if set(row[0].split(", ")) <= set(LABELS)]
    assert sorted(label for row in rows for label in row[0].split(", ")) == sorted(LABELS)
    preset = PRESETS[head[column]]  # type: ignore[index]
    for row in rows:
        for label in row[0].split(", "):
            shown = [None if number == NONE else float(number) for number in row[column].split(" / ")]
            numbers = [preset.blocks.get(label), preset.holds.get(label)]
            assert numbers == (shown if len(shown) == len(numbers) else [None, None]), (label, head[column])
