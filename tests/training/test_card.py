import json
from pathlib import Path
from typing import Any

import pytest
from training.card import encoder_parts, ngram_parts
from typer.testing import CliRunner

from training import card


def results(version: str, *, trained_on: str = "", rate: str = "never seen before, batch 1024") -> dict[str, Any]:
    value = {"value": 0.9, "low": 0.8, "high": 0.95, "texts": 1000, "positives": 100}
    few = {"value": 0.25, "low": 0.2, "high": 0.3, "texts": 1000, "positives": 0}
    written = ("AUROC", "abuse held or blocked", "fine lines blocked", "fine lines held")
    return {
        "About": {"version": version, "trained on": trained_on},
        "AUROC by set": {"toxicity / davidson": value, "spam / sms_spam": value, "English toxicity, mean": 0.9},
        "Labels": {"threat against toxicity 0": value},
        "Benign chat": {"irc_ubuntu: any label >= 0.8": few, "irc_ubuntu: any label >= 0.5": few},
        "Held-out writers": {f"en: {name}": value for name in written},
        "HateCheck": {
            "hatecheck_dev en: accuracy": value,
            "hatecheck_dev en: macro-F1": 0.61,
            "hatecheck_dev en: non-hateful right": few,
            "functionality slur_h": value,
        },
        "Identities": {"en: AUROC": value, "en: harmless held": few, "en: harmless blocked": few},
        "Disguises": {"undoable: mean": 0.97},
        "Speed": {rate: 12345.6},
    }  # fmt: skip


@pytest.fixture
def pages(tmp_path: Path) -> dict[str, str]:
    found = {
        "ngram": results(ngram_parts()["version"]),
        "encoder": results(encoder_parts()["version"]),
        "alt-profanity-check": results("alt 1", trained_on="davidson", rate="as measured, batch 1024"),
    }
    (tmp_path / "r.json").write_text(json.dumps(found))
    result = CliRunner().invoke(card.app, [str(tmp_path / "r.json"), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    return {path.stem: path.read_text() for path in tmp_path.glob("*.md")}


def test_one_command_writes_both_cards_and_the_comparison(pages: dict[str, str]) -> None:
    assert set(pages) == {"ngram", "encoder", "comparison"}
    for name in ("ngram", "encoder"):
        assert f"{name}-" in pages[name]
        assert "| davidson | 0.900 [0.800, 0.950] | 1,000 | 100 |" in pages[name]
        assert "| irc_ubuntu | 25.00% | 25.00% | 1,000 |" in pages[name]
        assert "{{" not in pages[name]


def test_an_unfair_comparison_is_marked(pages: dict[str, str]) -> None:
    page = pages["comparison"]
    assert "| toxicity, davidson | 0.900 [0.800, 0.950] | 0.900 [0.800, 0.950] | 0.900 [0.800, 0.950]† |" in page
    assert "| spam, sms_spam | 0.900 [0.800, 0.950] | 0.900 [0.800, 0.950] | 0.900 [0.800, 0.950] |" in page
    assert "† alt-profanity-check learnt from davidson" in page
    assert "12,346 | 12,346 | 12,346 |" in page


def test_what_was_not_run_says_so_and_names_its_source(pages: dict[str, str]) -> None:
    published = pages["comparison"].split("## Published, not run")[1]
    for name in ("toxic-bert", "Perspective", "OpenAI"):
        assert name in published
    assert published.count("https://") >= 6


def test_results_of_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"ngram": results("ngram-000000000000")}))
    result = CliRunner().invoke(card.app, [str(tmp_path / "r.json"), "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "ngram-000000000000" in result.output
