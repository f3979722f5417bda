from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.errors import ConfigError
from chat_moderator.store.labels import Label
from chat_moderator.store.reviews import Review, ReviewState
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.tuning.rows import ACTED_ON, Row, anchors, fingerprint, latest, read, reviewed, split, suggested
from chat_moderator.types import LABELS, Record, Verdict

ROWS = [Row(f"text {number}", {"toxicity": float(number % 2)}) for number in range(40)]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str | bytes], list[Row]]:
    def read_back(content: str | bytes) -> list[Row]:
        path = tmp_path / "labels.jsonl"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read(path)

    return read_back


def test_labels_and_verdicts_are_read(written: Callable[[str], list[Row]]) -> None:
    labelled, allowed, blocked, scam = written(
        '\ufeff{"text": "a", "labels": {"toxicity": 1, "threat": false}, "id": 7}\r\n\n'
        '{"text": "b", "verdict": "allow"}\n'
        '{"text": "c", "verdict": "block"}\n'
        '{"text": "d", "verdict": "block", "labels": {"spam": 0.9, "toxicity": 0}}'
    )
    assert labelled.labels == {"toxicity": 1.0, "threat": 0.0}
    assert allowed.labels == dict.fromkeys(ACTED_ON, 0.0)
    assert blocked.labels == {"toxicity": 1.0}
    assert scam.labels["spam"] == 0.9
    assert [row.bad for row in (labelled, allowed, blocked, scam)] == [True, False, True, True]


def test_what_is_not_toxic_is_no_insult_either(written: Callable[[str], list[Row]]) -> None:
    (row,) = written('{"text": "a", "labels": {"toxicity": 0, "insult": 0.2}}')
    assert row.labels["insult"] == 0.2
    assert row.labels["threat"] == 0.0
    assert "spam" not in row.labels
    assert row.bad is False


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nonsense", "line 2: not "),
        ('"text"', "line 2: not "),
        ('{"labels": {"toxicity": 1}}', "missing required field `text`"),
        ('{"text": "a"}', "neither labels nor a verdict"),
        ('{"text": " ", "verdict": "allow"}', "the text is empty"),
        ('{"text": "a", "verdict": "hold"}', "hold"),
        ('{"text": "a", "labels": {"toxic": 1}}', "no label 'toxic'; there are toxicity, "),
        ('{"text": "a", "labels": {"toxicity": 2}}', "toxicity is 2; 0 to 1 is allowed"),
        ('{"text": "a", "labels": {"toxicity": "1"}}', "line 2: not "),
        ('{"text": "a", "labels": {"spam": 1}, "verdict": "allow"}', "the verdict is allow, but spam is 1"),
        ('{"text": "a", "labels": {"toxicity": 0}, "verdict": "block"}', "the verdict is block, but none of"),
        (b'{"text": "\xff", "verdict": "allow"}', "line 2: not "),
    ],
)
def test_a_line_that_is_no_row_is_named(written: Callable[[bytes], list[Row]], line: str | bytes, says: str) -> None:
    raw = line.encode() if isinstance(line, str) else line
    with pytest.raises(ConfigError, match="line 2") as refused:
        written(b'{"text": "fine", "verdict": "allow"}\n' + raw + b"\n")
    assert says in str(refused.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl: cannot be read"):
        read(tmp_path / "none.jsonl")


def record(text: str, label: str, *, rule: str) -> Record:
    return make_record(make_message(text), Verdict.HOLD, rule=rule, label=label)


def review(number: int, state: ReviewState, text: str, label: str = "spam", rule: str = "hold:spam") -> Review:
    return Review(number, state, record(text, label, rule=rule), "ada", datetime.now(UTC))


def test_reviews_say_what_should_have_been() -> None:
    rows = reviewed(
        [
            review(1, ReviewState.APPROVED, "fine"),
            review(2, ReviewState.DENIED, "a scam"),
            review(3, ReviewState.DENIED, "by a rule", rule="rule:new accounts"),
            review(4, ReviewState.DENIED, ""),
            review(5, ReviewState.APPROVED, "i am not well", label="self_harm", rule="hold:self_harm"),
        ]
    )
    assert [(row.text, row.bad) for row in rows] == [("fine", False), ("a scam", True), ("by a rule", True)]
    assert rows[0].labels["toxicity"] == rows[0].labels["spam"] == 0.0
    assert rows[1].labels == {"spam": 1.0}
    assert rows[2].labels == {"toxicity": 1.0}


def test_suggestions_count_for_what_they_name() -> None:
    rows = suggested(
        [Label("a", {"toxicity": 0.9}, "c"), Label("b", {"flirtation": 1.0}, "c"), Label("", {"spam": 1}, "c")]
    )
    assert rows == [Row("a", {"toxicity": 0.9})]


def test_a_text_that_was_labelled_twice_counts_once_as_it_was_labelled_last() -> None:
    rows = latest([Row("Hello  there", {"spam": 1}), Row("b", {"spam": 0}), Row("hello there", {"spam": 0})], 10)
    assert rows == [Row("hello there", {"spam": 0}), Row("b", {"spam": 0})]
    assert latest(ROWS, 3) == ROWS[-3:]


@given(st.permutations(ROWS), st.integers(0, 5))
def test_the_split_does_not_depend_on_the_order_and_holds_out_the_same_share_of_each_kind(
    rows: list[Row], seed: int
) -> None:
    learnt, measured = split(rows, 0.3, seed)
    assert (learnt, measured) == split(ROWS, 0.3, seed)
    assert sorted(row.text for row in learnt + measured) == sorted(row.text for row in ROWS)
    assert sum(row.bad is True for row in measured) == sum(row.bad is False for row in measured) == 6
    assert fingerprint(rows) == fingerprint(ROWS)


def test_anchors_hold_the_word_list_in_place() -> None:
    found = anchors()
    assert len(found) > 100
    assert all(row.text.strip() and row.bad is None and not row.labels for row in found)
    assert set(ACTED_ON) < set(LABELS)
