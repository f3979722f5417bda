"""Writes the model cards and a comparison: `python -m training.card RESULTS.json`, as `evaluate --json` wrote it."""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from chat_moderator.classifiers.encoder_weights import BUNDLED as ENCODER
from chat_moderator.classifiers.ngram_weights import BUNDLED as NGRAM
from training.comparison import comparison
from training.tables import (
    Section,
    benign_table,
    hate_check_table,
    identity_table,
    label_table,
    other_labels_table,
    plain_table,
    toxicity_table,
    written_table,
)

OUT: Final = Path(__file__).parent.parent / "docs" / "models"
TEMPLATES: Final = Path(__file__).parent / "cards"
_MEASURED: Final = "AUROC by set"

app = typer.Typer(add_completion=False)


def measured(found: dict[str, Section]) -> dict[str, str]:
    """The tables of one classifier's measures, by their place in measured.md."""
    tables = {
        "toxicity": toxicity_table(found[_MEASURED]),
        "others": other_labels_table(found["Labels"], found[_MEASURED]),
        "benign": benign_table(found["Benign chat"]),
        "written": written_table(found["Held-out writers"]),
        "hatecheck": hate_check_table(found["HateCheck"]),
        "identities": identity_table(found["Identities"]),
        "disguises": plain_table("disguise", found["Disguises"]),
        "speed": plain_table("messages a CPU-second", found["Speed"]),
    }
    return {name: "\n".join(lines) for name, lines in tables.items()}


def ngram_parts() -> dict[str, str]:
    """What the bundled n-gram weights say of themselves."""
    return _described(NGRAM.with_suffix(".json"), "ngram")


def encoder_parts() -> dict[str, str]:
    """What the bundled encoder's weights say of themselves."""
    weights = ENCODER / "encoder.npz"
    with np.load(weights, allow_pickle=False) as stored:
        (pieces, dimensions), width = stored["table"].shape, len(stored["first_0_bias"])
        context = len(stored["context_bias"])
    return _described(ENCODER / "encoder.json", "encoder") | {
        "pieces": f"{pieces:,}",
        "dimensions": str(dimensions),
        "width": str(width),
        "context": str(context),
        "size": f"{weights.stat().st_size / 1e6:.1f}",
    }


def fill(template: str, parts: dict[str, str]) -> str:
    """A template with its places filled.

    Raises:
        KeyError: there is nothing for a place.
    """
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    for name, value in parts.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    if "{{" in text:
        raise KeyError(f"{template}: nothing for {text.split('{{')[1].split('}}')[0]}")
    return text


def _described(metadata: Path, name: str) -> dict[str, str]:
    said: dict[str, Any] = json.loads(metadata.read_text())
    return {
        "version": f"{name}-{said['sha256'][:12]}",
        "seed": str(said["seed"]),
        "labels": "\n".join(label_table(said)),
    }


@app.command()
def main(
    results: Annotated[Path, typer.Argument(help="What `python -m training.evaluate --json` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for the pages.")] = OUT,
) -> None:
    """Writes a card for each bundled classifier that was measured, and a page that compares all that were."""
    found: dict[str, dict[str, Section]] = json.loads(results.read_text())
    out.mkdir(parents=True, exist_ok=True)
    for name, described in (("ngram", ngram_parts), ("encoder", encoder_parts)):
        if name not in found:
            continue
        parts = described()
        version = found[name].get("About", {}).get("version", parts["version"])
        if version != parts["version"]:
            raise typer.BadParameter(f"{results} measured {version}, but {parts['version']} is bundled: measure again")
        parts["measured"] = fill("measured.md", measured(found[name])).rstrip()
        (out / f"{name}.md").write_text(fill(f"{name}.md", parts), encoding="utf-8")
    if len(found) > 1:
        (out / "comparison.md").write_text(fill("comparison.md", comparison(found)), encoding="utf-8")


if __name__ == "__main__":
    app()
