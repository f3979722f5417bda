import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest
from training.rows import HELD_OUT_WRITERS, label_vector, load, load_corpus, mask

from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS


def known(labels: dict[str, float]) -> dict[str, float]:
    vector = label_vector(labels)
    return {label: value for label, value in zip(LABELS, vector, strict=True) if not math.isnan(value)}


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_what_is_not_toxic_is_no_insult_threat_or_attack_either() -> None:
    assert known({"toxicity": 0}) == dict.fromkeys(
        ("toxicity", "severe_toxicity", "threat", "insult", "identity_attack"), 0.0
    )


def test_what_is_not_hate_may_still_be_toxic() -> None:
    assert known({"identity_attack": 0}) == {"identity_attack": 0.0}


def test_toxicity_says_nothing_about_its_kind() -> None:
    assert known({"toxicity": 1}) == {"toxicity": 1.0}


def test_names_of_sources_become_ours() -> None:
    assert known({"sexual": 0.5}) == {"sexual_explicit": 0.5}
    assert known({"harassment": 1}) == {"toxicity": 1.0, "insult": 1.0}
    assert known({"sexism": 1, "toxicity": 1}) == {"toxicity": 1.0, "identity_attack": 1.0}
    assert known({"sexism": 0}) == {}


def test_names_and_addresses_are_masked() -> None:
    masked = mask("@Some_Body see https://a.example/x, mail me@a.example or call +1 (555) 010-0199 at 5")
    assert not any(part in masked for part in ("Some_Body", "a.example", "555"))
    assert masked.endswith("at 5")


def test_own_splits_are_kept_and_others_get_a_tenth(tmp_path: Path) -> None:
    write(tmp_path, "cold_zh", [
        {"id": f"a{index}", "text": "x", "labels": {"toxicity": 0}, "lang": "zh", "split": split}
        for index, split in enumerate(["train", "dev", "train", "test"])
    ])  # fmt: skip
    assert [row.part for row in load("cold_zh", tmp_path)][1] == "calibrate"
    assert [row.part for row in load("cold_zh", tmp_path)][3] == "test"
    write(tmp_path, "davidson", [
        {"id": f"b{index}", "text": "x", "labels": {"toxicity": 0}, "lang": "en"} for index in range(1000)
    ])  # fmt: skip
    parts = [row.part for row in load("davidson", tmp_path)]
    assert 60 < parts.count("test") < 140
    assert parts == [row.part for row in load("davidson", tmp_path)]


def test_diagnostics_are_for_testing_only(tmp_path: Path) -> None:
    write(tmp_path, "hatecheck_dev", [{"id": str(n), "text": "x", "labels": {}, "lang": "en"} for n in range(50)])
    assert {row.part for row in load("hatecheck_dev", tmp_path)} == {"test"}


def test_a_missing_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"davidson\.jsonl\.gz does not exist; DATA must be the folder"):
        load("davidson", tmp_path)


def test_a_broken_set_is_named(tmp_path: Path) -> None:
    (tmp_path / "davidson.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(ConfigError, match=r"davidson\.jsonl\.gz"):
        load("davidson", tmp_path)


def test_written_lines_have_every_label_and_held_out_writers_are_for_testing(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "w01-hype.tsv").write_text("ok\to\tthat was great\n+bad\tti\tyou were not\n\n", encoding="utf-8")
    (tmp_path / "en" / "w09-hype.tsv").write_text("care\ts\tsaying it as it is\n", encoding="utf-8")
    rows = load_corpus(tmp_path)
    assert [row.verdict for row in rows] == ["ok", "bad", "care"]
    assert [label for label, value in zip(LABELS, rows[1].labels, strict=True) if value] == ["toxicity", "insult"]
    assert rows[0].part != "test"
    assert rows[2].part == "test"
    assert rows[2].writer in HELD_OUT_WRITERS
    assert rows[0].functionality == "hype"


@pytest.mark.parametrize("line", ["ok\tno tab", "fine\t-\ttext", "ok\tq\ttext", "ok\t-\ta\tb"])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "w01-hype.tsv").write_text(f"ok\t-\tfine\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"w01-hype\.tsv:2: expected verdict"):
        load_corpus(tmp_path)


def test_the_lines_in_the_repository_are_well_formed() -> None:
    rows = load_corpus()
    assert rows
    assert {row.verdict for row in rows} <= {"ok", "bad", "care"}
