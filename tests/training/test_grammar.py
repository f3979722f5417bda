from collections import Counter
from pathlib import Path

import pytest
from training.check_corpus import lines
from training.grammar import RULES, Grammar, compose_all
from typer.testing import CliRunner

from chat_moderator.errors import ConfigError
from training import grammar

ROWS = list(Grammar().compose(1500, seed=4))


def test_there_are_several_hundred_rules_for_both_verdicts() -> None:
    assert Grammar().rules >= 400
    verdicts = Counter(row.verdict for row in ROWS)
    assert min(verdicts["ok"], verdicts["bad"]) > 0.35 * len(ROWS)
    assert verdicts["care"]


def test_the_same_seed_composes_the_same_lines_and_another_one_others() -> None:
    assert [row.text for row in Grammar().compose(200, seed=4)] == [row.text for row in ROWS[:200]]
    assert {row.text for row in Grammar().compose(200, seed=5)} != {row.text for row in ROWS[:200]}


def test_no_line_is_composed_twice_nor_left_unfinished() -> None:
    assert len({row.text.casefold() for row in ROWS}) == len(ROWS) > 1400
    assert not [row.text for row in ROWS if "{" in row.text or "}" in row.text or "  " in row.text or not row.text]


def test_lines_are_for_training_only_and_known_as_composed() -> None:
    assert {(row.part, row.source, row.language) for row in ROWS} == {("train", "grammar", "en")}
    assert all(any(row.labels) for row in ROWS if row.verdict == "bad")
    assert len({row.id for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("path", sorted(RULES.glob("*.txt")), ids=lambda path: path.stem)
def test_every_language_has_rules_for_both_verdicts(path: Path) -> None:
    rows = list(Grammar(path).compose(300, seed=2))
    assert {row.language for row in rows} == {path.stem}
    verdicts = Counter(row.verdict for row in rows)
    assert min(verdicts["ok"], verdicts["bad"]) > 0.3 * len(rows)
    assert not [row.text for row in rows if "{" in row.text or "}" in row.text]


def test_all_languages_are_composed_together_with_ids_of_their_own() -> None:
    rows = list(compose_all(20, seed=3))
    assert len({row.id for row in rows}) == len(rows)
    assert {row.language for row in rows} == {path.stem for path in RULES.glob("*.txt")}


def test_no_line_is_one_of_the_corpus() -> None:
    written = {fields[-1].casefold() for _, _, fields in lines()}
    assert not [row.text for row in ROWS if row.text.casefold() in written]


def test_both_verdicts_share_their_words() -> None:
    words = {verdict: set() for verdict in ("ok", "bad")}  # type: dict[str, set[str]]
    for row in ROWS:
        words.get(row.verdict, set()).update(row.text.lower().split())
    assert len(words["ok"] & words["bad"]) > 0.5 * len(words["bad"])


def test_prints_the_format_of_the_corpus() -> None:
    result = CliRunner().invoke(grammar.app, ["--count", "30"])
    assert result.exit_code == 0
    assert all(len(line.split("\t")) == 3 for line in result.output.splitlines())


def test_a_language_without_rules_is_refused() -> None:
    result = CliRunner().invoke(grammar.app, ["--language", "tlh"])
    assert result.exit_code == 2
    assert "none of" in result.output


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ("a line before any part", ":1: expected"),
        ("[part]\nx\n[part]\ny", ":3: part was begun before"),
        ("[start ok -]\n{nothing} here", "no part 'nothing'"),
        ("[start fine -]\nx", ":1: expected"),
    ],
)
def test_rules_that_cannot_be_read_are_refused(tmp_path: Path, rules: str, says: str) -> None:
    path = tmp_path / "rules.txt"
    path.write_text(rules)
    with pytest.raises(ConfigError) as refused:
        Grammar(path)
    assert says in str(refused.value)
