import gzip
import json
from pathlib import Path

import pytest
from training.rows import DIAGNOSTIC, EVALUATION_ONLY, TRAINABLE
from typer.testing import CliRunner

from chat_moderator.classifiers.ngram import Config, NgramClassifier
from training import evaluate, train

RUDE = ("you are a zorp", "zorp off you narf", "shut up narf", "what a zorp he is", "go away narf and zorp")
KIND = ("what a lovely day", "good game everyone", "see you tomorrow then", "how do i join", "that was a great song")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every set, tiny, of made-up words."""
    folder = tmp_path_factory.mktemp("data")
    for name in (*TRAINABLE, *EVALUATION_ONLY, *DIAGNOSTIC):
        with gzip.open(folder / f"{name}.jsonl.gz", "wt") as file:
            for index in range(60):
                text = f"{(RUDE if index % 2 else KIND)[index % 5]} {name[index % 3 :]} {index}"
                row = {"id": f"{name}:{index}", "text": text, "lang": "en", "labels": {"toxicity": index % 2}}
                file.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "en").mkdir()
    for writer in ("w01", "w09"):
        lines = [f"bad\ttvohiaxsp\tyou zorp {n}\nok\t-\tnice to see you {n}\n" for n in range(40)]
        (folder / "en" / f"{writer}-hype.tsv").write_text("".join(lines))
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(train.app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_learns_what_it_is_shown_and_gives_the_same_bytes_again(data: Path, corpus: Path, tmp_path: Path) -> None:
    run("--data", data, "--corpus", corpus, "--out", tmp_path / "first")
    run("--data", data, "--corpus", corpus, "--out", tmp_path / "second")
    for name in ("ngram.npz", "ngram.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    scores = NgramClassifier(Config(model=str(tmp_path / "first"))).score(["you narf zorp", "good song today"])[:, 0]
    assert scores[0] > 0.5 > scores[1]


def test_names_what_it_learnt_from(data: Path, corpus: Path, tmp_path: Path) -> None:
    run("--data", data, "--corpus", corpus, "--out", tmp_path, "--no-share-alike")
    metadata = json.loads((tmp_path / "ngram.json").read_text())
    assert metadata["share_alike"] is False
    assert {"corpus", "davidson.jsonl.gz"} <= set(metadata["data"])
    assert set(metadata["experimental"]) == set(metadata["labels"])


@pytest.mark.parametrize("program", [train.app, evaluate.app])
def test_says_which_file_is_missing(program: object, tmp_path: Path) -> None:
    result = CliRunner().invoke(program, ["--data", str(tmp_path)])  # type: ignore[arg-type]
    assert result.exit_code == 2
    assert "does not exist" in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_measures_every_section(data: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    result = CliRunner().invoke(evaluate.app, ["--data", str(data), "--corpus", str(corpus), "--json", str(out)])
    assert result.exit_code == 0, result.output
    sections = json.loads(out.read_text())["ngram"]
    assert {"AUROC by set", "Benign chat", "Held-out writers", "HateCheck", "Identities", "Disguises"} <= set(sections)


def test_refuses_a_classifier_that_it_does_not_know(data: Path) -> None:
    result = CliRunner().invoke(evaluate.app, ["--data", str(data), "--classifier", "oracle"])
    assert result.exit_code == 2
    assert "oracle" in result.output
