"""Makes what the cascade ships with: `python -m training.cascade --data DIR`. To be run after every change of weights.

Teaches the gate (needs torch) what the encoder would act on, then keeps the calibration sample from which early exits
are chosen. Same data, weights and seed, same result.
"""

import random
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from chat_moderator.classifiers.encoder import EncoderClassifier
from chat_moderator.classifiers.encoder_weights import BUNDLED as ENCODER
from chat_moderator.classifiers.gate import BUNDLED, EXITS, Gate
from chat_moderator.classifiers.ngram import NgramClassifier
from chat_moderator.errors import ConfigError
from chat_moderator.moderator.bounds import upper_bound
from chat_moderator.moderator.calibration import calibrate as sample_of
from chat_moderator.moderator.cascade import Cascade
from chat_moderator.moderator.exits import Exit, Sample, choose, write
from chat_moderator.policy.presets import PRESETS
from chat_moderator.types import LABELS
from training.disguises import disguise
from training.rows import CORPUS, Row
from training.train import gather

CHAT: Final = ("irc_ubuntu", "goemotions", "corpus", "convabuse", "paradetox", "sms_spam", "tgspam")
"""What calibration texts are drawn from: chat and what is most like it, one in six of them toxic."""

SEED: Final = 5
_OTHERS: Final = 0.4  # share of the rows of other sets that teach the gate
_OTHER_COUNTS: Final = 0.5
_DISGUISED: Final = 0.1
_STRIDE: Final = 2048

app = typer.Typer(add_completion=False)


def calibration_rows(rows: list[Row]) -> list[Row]:
    """The rows that early exits are calibrated on: no training saw them."""
    return [row for row in rows if row.part == "calibrate" and row.source in CHAT]


def cascade(gate: Gate | None = None) -> Cascade:
    """The bundled tiers."""
    return Cascade([("ngram", NgramClassifier()), ("encoder", EncoderClassifier())], gate=gate)


def teach(rows: list[Row], console: Console) -> None:
    """Trains the gate on training rows and writes it."""
    from training import gate  # noqa: PLC0415 -- torch is only for this

    chance = random.Random(SEED)
    chosen = [row for row in rows if row.part == "train" and (row.source in CHAT or chance.random() < _OTHERS)]
    texts = [disguise(row.text, chance) if chance.random() < _DISGUISED else row.text for row in chosen]
    weights = np.array([1.0 if row.source in CHAT else _OTHER_COUNTS for row in chosen], np.float32)
    encoder = EncoderClassifier()
    with _progress(console) as progress:
        task = progress.add_task("asking the encoder", total=len(texts))
        targets = np.zeros(len(texts), np.float32)
        for begin in range(0, len(texts), _STRIDE):
            targets[begin : begin + _STRIDE] = _acted_on(encoder.score(texts[begin : begin + _STRIDE]))
            progress.update(task, completed=min(begin + _STRIDE, len(texts)))
        start = gate.reading(ENCODER / "encoder.npz", texts)
        learnt = gate.fit(start, texts, targets, weights, progress)
    gate.write(BUNDLED, start, learnt, {"teacher": encoder.version, "seed": SEED, "texts": len(texts)})


def calibrate(rows: list[Row], console: Console) -> Sample:
    """The calibration sample of the bundled tiers and gate."""
    texts = [row.text for row in calibration_rows(rows)]
    with _progress(console) as progress:
        task = progress.add_task("asking every tier", total=len(texts))
        return sample_of(cascade(Gate()), texts, lambda count: progress.advance(task, count))


def show(kept: Sample, console: Console) -> None:
    """What the exits do under each preset."""
    table = Table(
        "preset", "leave early", "missed of acted on", "95% bound", "differ", "95% bound", title=f"{kept.texts:,} texts"
    )
    for name, preset in PRESETS.items():
        holds = {label: min(preset.holds[label], preset.blocks.get(label, 1.0)) for label in preset.holds}
        (found,) = choose(kept, (holds,), max_disagreement=0.005, max_missed=0.05)
        table.add_row(name, *(_figures(found) if found else ["none", "", "", "", ""]))
    console.print(table)


def _figures(found: Exit) -> list[str]:
    return [
        f"{found.below / found.texts:.1%}",
        f"{found.missed} of {found.acted}",
        f"{upper_bound(found.missed, found.acted):.2%}",
        f"{found.missed / found.texts:.2%}",
        f"{upper_bound(found.missed, found.texts):.2%}",
    ]


def _acted_on(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest score of a label that the default preset acts on."""
    highest: NDArray[np.float32] = scores[:, [LABELS.index(label) for label in PRESETS["default"].holds]].max(axis=1)
    return highest


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="Folder with the labelled sets (*.jsonl.gz).")],
    corpus: Annotated[Path, typer.Option(help="Folder with the written chat.")] = CORPUS,
    *,
    gate: Annotated[bool, typer.Option(help="Teach the gate anew first; needs torch.")] = True,
    share_alike: Annotated[bool, typer.Option(help="Also learn from sets under share-alike licences.")] = True,
) -> None:
    """Teaches the gate and calibrates the early exits of the bundled tiers."""
    console = Console()
    try:
        rows = gather(data, corpus, share_alike=share_alike)
        if gate:
            teach(rows, console)
        kept = calibrate(rows, console)
    except ConfigError as error:
        console.print(f"[red]{error}")
        raise typer.Exit(2) from error
    write(EXITS, kept)
    show(kept, console)


if __name__ == "__main__":
    app()
