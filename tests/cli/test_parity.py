from pathlib import Path

from tests.classifiers import random_models
from tests.cli.commands import command


def test_it_shows_how_far_int8_is_from_float32(tmp_path: Path) -> None:
    model = random_models.save(tmp_path / "model", "bert")
    data = tmp_path / "texts.txt"
    data.write_text("gg well played\nyou loser\nhate you\n", "utf-8")
    config = tmp_path / "settings.toml"
    config.write_text(f'[classifiers.transformers]\nmodel = "{model}"\ncache = "{tmp_path / "cache"}"\n')
    done = command("parity", "--data", str(data), "--config", str(config))
    assert done.code == 0
    assert "identity_attack" in done.out
    assert "of 3 verdicts differ" in done.out
    again = command("parity", str(model), "--data", str(data), "--config", str(config))
    assert again.out == done.out


def test_no_text_is_an_error(tmp_path: Path) -> None:
    data = tmp_path / "texts.jsonl"
    data.write_text("")
    done = command("parity", "model", "--data", str(data))
    assert done.code == 2
    assert "holds no text" in done.err
