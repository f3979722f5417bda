"""Trains the n-gram classifier: `python -m training.train --data DIR`. Same data and seed, same bytes."""

import hashlib
import random
import re
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from chat_moderator.classifiers.lexicon import LexiconClassifier
from chat_moderator.classifiers.ngram_weights import BUNDLED
from chat_moderator.classifiers.weights_file import write as save
from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS
from training.disguises import disguise
from training.export import most_telling, quantise
from training.features import Extractor, vocabulary, word_hash
from training.grammar import RULES, compose_all
from training.linear import calibrate, fit
from training.rows import (
    CORPUS,
    DIAGNOSTIC,
    EVALUATION_ONLY,
    HELD_OUT_WRITERS,
    SHARE_ALIKE,
    TRAINABLE,
    Row,
    load,
    load_corpus,
)
from training.soft import blended, read

SEED: Final = 20
PENALTY: Final = 7e-7
ITERATIONS: Final = 90
RAREST: Final = 3  # texts that a feature must occur in
KEPT: Final = 900_000
DISGUISED_WITH_TERMS: Final = 0.5  # share of rows of which a disguised copy is made
DISGUISED: Final = 0.08
COPY_WEIGHT: Final = 0.5
ENOUGH_POSITIVES: Final = 1000  # below, a label is experimental

SOURCE_WEIGHT: Final = {
    "cold_zh": 0.7,
    "convabuse": 4.0,
    "corpus": 4.5,
    "davidson": 0.3,  # keyword-sampled: teaches reflexes
    "degibert": 0.5,
    "edos": 0.5,
    "guest_misogyny": 0.5,
    "irc_ubuntu": 0.7,
    "measuring_hate_ken20": 0.6,
    "mlma": 0.4,
    "surge_toxicity": 2.0,
    "wiki_cat": 0.5,
}
CHAT: Final = frozenset({"corpus", "irc_ubuntu", "goemotions", "convabuse", "sms_spam", "tgspam"})
BASE_RATE: Final = dict(zip(LABELS, (0.05, 0.005, 0.05, 0.005, 0.03, 0.01, 0.01, 0.005, 0.02), strict=True))
"""Shares of chat assumed when scores are made probabilities."""
OTHER_SHARE: Final = 0.05  # how much a row that is not chat counts then

_HARMLESS_BY_CONSTRUCTION: Final = ("sexual_explicit", "self_harm", "obscene")
_SWEARING: Final = 0.4
_WORD: Final = re.compile(r"\w+")

app = typer.Typer(add_completion=False)


def gather(data: Path, corpus: Path, *, share_alike: bool, composed: int = 0) -> list[Row]:
    """Every row that may be trained or calibrated on; a text that is measured on anywhere is left out.

    Args:
        data: the folder of the labelled sets.
        corpus: the folder of the written chat.
        share_alike: whether sets under share-alike licences are read too.
        composed: lines that the grammar adds for each language.

    Raises:
        ConfigError: a set is missing or malformed.
    """
    names = [name for name in TRAINABLE if share_alike or name not in SHARE_ALIKE]
    rows = [row for name in names for row in load(name, data)] + load_corpus(corpus)
    rows += compose_all(composed, SEED) if composed else ()
    measured = [row for name in (*DIAGNOSTIC, *EVALUATION_ONLY) for row in load(name, data)]
    tested = {_same(row.text) for row in [*rows, *measured] if row.part == "test"}
    return [row for row in rows if row.part != "test" and row.text.strip() and _same(row.text) not in tested]


def _same(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold())) or text


def assume(rows: list[Row]) -> None:
    """Fills what no source labels.

    On benign chat nothing is sexual or about self-harm; what is obscene in English is what the word list takes for it.
    """
    obscene = LABELS.index("obscene")
    swearing = LexiconClassifier().score([row.text for row in rows])[:, obscene] >= _SWEARING
    for row, swears in zip(rows, swearing, strict=True):
        if row.weak and row.source == "irc_ubuntu":
            for label in _HARMLESS_BY_CONSTRUCTION:
                row.labels[LABELS.index(label)] = 0.0
        if row.language == "en" and row.source not in {"corpus", "grammar"} and (swears or row.labels[0] == 0):
            row.labels[obscene] = float(swears)


def augment(rows: list[Row], chance: random.Random) -> list[Row]:
    """Disguised copies of training rows: often of those with listed terms, which people disguise, seldom of others."""
    lexicon = LexiconClassifier()
    copies = []
    for row in rows:
        if row.part != "train":
            continue
        telling = (
            [(span.start, span.end) for span in lexicon.explain([row.text])[0]]
            if lexicon.score([row.text]).any()
            else []
        )
        if chance.random() < (DISGUISED_WITH_TERMS if telling else DISGUISED):
            hidden = disguise(row.text, chance, telling)
            copies.append(msgspec.structs.replace(row, id=f"{row.id}~", text=hidden))
    return copies


def chat_weights(rows: list[Row], targets: NDArray[np.float32], base_rate: float) -> NDArray[np.float32]:
    """Weights under which rows look like chat: mostly benign, mostly short."""
    weights = np.array([1.0 if row.source in CHAT else OTHER_SHARE for row in rows], np.float32)
    positive = targets >= 0.5
    wanted = base_rate / (1 - base_rate) * weights[~positive].sum()
    weights[positive] *= wanted / max(weights[positive].sum(), 1e-9)
    return weights


def fingerprint(data: Path, corpus: Path) -> dict[str, str]:
    """sha256 of everything that was learnt from, by file name; the writers' lines as one, and the grammar's rules."""
    found = {path.name: path.read_bytes() for path in sorted(data.glob("*.jsonl.gz"))}
    found["corpus"] = b"".join(
        path.read_bytes()
        for path in sorted(corpus.glob("*/*.tsv"))
        if path.stem.partition("-")[0] not in HELD_OUT_WRITERS
    )
    found["grammar"] = b"".join(path.read_bytes() for path in sorted(RULES.glob("*.txt")))
    return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


def train(rows: list[Row], said: NDArray[np.float32], out: Path, metadata: dict[str, Any], console: Console) -> None:
    """Fits, calibrates, prunes, quantises and writes; `said` (rows, labels) is what teachers think, NaN if nothing."""
    progress = Progress(
        TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    with progress:
        reading = progress.add_task("reading words", total=len(rows))
        fitting = progress.add_task("fitting labels", total=len(LABELS))
        known = vocabulary([row.text for row in rows if row.part == "train" and not row.id.endswith("~")])
        extractor = Extractor(known)
        features = extractor.matrix([row.text for row in rows], tick=lambda: progress.advance(reading))
        training = np.array([row.part == "train" for row in rows])
        calibrating = ~training
        frequency = np.bincount(features[training].indices, minlength=features.shape[1])
        buckets = np.flatnonzero(frequency >= RAREST)
        features, frequency = features[:, buckets], frequency[buckets]
        labels = np.array([row.labels for row in rows], np.float32)
        learnt = blended(labels, said)
        row_weights = np.array([SOURCE_WEIGHT.get(row.source, 1.0) for row in rows], np.float32)
        original = np.array([not row.id.endswith("~") for row in rows])
        row_weights[~original] *= COPY_WEIGHT
        weights = np.zeros((len(buckets), len(LABELS)), np.float32)
        bias = np.zeros(len(LABELS), np.float32)
        counted: dict[str, tuple[int, int]] = {}
        for column, label in enumerate(LABELS):
            labelled = training & original & ~np.isnan(labels[:, column])
            counted[label] = (int(labelled.sum()), int((labels[labelled, column] >= 0.5).sum()))
            here = np.flatnonzero(training & ~np.isnan(learnt[:, column]))
            found = fit(features[here], learnt[here, column], row_weights[here], penalty=PENALTY, iterations=ITERATIONS)
            there = np.flatnonzero(calibrating & ~np.isnan(labels[:, column]))
            logits = features[there] @ found.weights + found.bias
            targets = labels[there, column]
            slope, offset = calibrate(
                logits, targets, chat_weights([rows[index] for index in there], targets, BASE_RATE[label])
            )
            weights[:, column] = slope * found.weights
            bias[column] = slope * found.bias + offset
            progress.advance(fitting)
    top = most_telling(weights, frequency, KEPT)
    small, scale = quantise(weights[top])
    arrays: dict[str, NDArray[Any]] = {
        "gaps": np.diff(buckets[top], prepend=0).astype(np.uint32),
        "roots": small,
        "scale": scale,
        "bias": bias,
        "vocabulary": np.sort(np.array([word_hash(word) for word in known], np.uint32)),
    }
    experimental = [label for label in LABELS if counted[label][1] < ENOUGH_POSITIVES]
    save(
        out / "ngram.npz",
        arrays,
        {"labels": LABELS, "experimental": experimental, "rows": {k: list(v) for k, v in counted.items()}, **metadata},
    )
    table = Table("label", "rows", "positive", "", title=f"{len(top):,} of {len(buckets):,} features kept")
    for label, (total, positive) in counted.items():
        table.add_row(label, f"{total:,}", f"{positive:,}", "experimental" if label in experimental else "")
    console.print(table)


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="Folder with the labelled sets (*.jsonl.gz).")],
    out: Annotated[Path, typer.Option(help="Folder for ngram.npz and ngram.json.")] = BUNDLED.parent,
    corpus: Annotated[
        Path, typer.Option(help="Folder with the written lines (LANGUAGE/WRITER-PHENOMENON.tsv).")
    ] = CORPUS,
    soft: Annotated[list[Path] | None, typer.Option(help="A teacher's answers; may be given again.")] = None,
    *,
    share_alike: Annotated[bool, typer.Option(help="Also learn from sets under share-alike licences.")] = True,
) -> None:
    """Trains the n-gram classifier on DATA and the written corpus."""
    console = Console()
    try:
        rows = gather(data, corpus, share_alike=share_alike)
        assume(rows)
        plain = {row.id: row.text for row in rows}
        rows += augment(rows, random.Random(SEED))
        said = read(soft or [], [plain[row.id.removesuffix("~")] for row in rows])
    except ConfigError as error:
        console.print(f"[red]{error}")
        raise typer.Exit(2) from error
    metadata = {
        "seed": SEED,
        "share_alike": share_alike,
        "data": fingerprint(data, corpus),
        "teachers": [hashlib.sha256(path.read_bytes()).hexdigest() for path in soft or []],
    }
    train(rows, said, out, metadata, console)


if __name__ == "__main__":
    app()
