"""Makes Perspective's scale for the default cascade, and measures it: `python -m training.perspective --data DIR`.

wiki_cat carries Perspective's own TOXICITY score of 2020. The scale learns from the half that `training.rows` calls
train, by the hash of the id; the other half, on which nothing was trained or calibrated, is measured on.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import sparse  # type: ignore[import-untyped]
from scipy.stats import spearmanr  # type: ignore[import-untyped]
from sklearn.linear_model import Ridge  # type: ignore[import-untyped]

from chat_moderator.app import build_cascade
from chat_moderator.classifiers.perspective_scale import BUCKETS, FOLDER, Scale, buckets, logits, traits, words
from chat_moderator.config import Settings
from chat_moderator.types import LABELS, Assessment
from training.metrics import Flags, Interval, auroc
from training.rows import load, load_native

Floats = NDArray[np.float64]

SOURCE: Final = "wiki_cat"
NATIVE: Final = "perspective_2020"
PENALTY: Final = 0.7
FOLDS: Final = 3
CURVE: Final = 200  # points
CHUNK: Final = 256
LEAST: Final = 1e-3
RESAMPLES: Final = 1000
THRESHOLDS: Final = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)
SEED: Final = 5

app = typer.Typer(add_completion=False)


class Scored(NamedTuple):
    """Texts of one half: what the cascade found, Perspective's score, and whether people call them toxic."""

    texts: list[str]
    assessments: list[Assessment]
    perspective: Floats
    toxic: Flags


def read(data: Path) -> tuple[str, Scored, Scored]:
    """The version of the cascade, the half to learn from and the half to measure on."""
    cascade = build_cascade(Settings())
    native = load_native(SOURCE, data, NATIVE)
    halves = {"train": Scored([], [], np.array([]), np.array([])), "test": Scored([], [], np.array([]), np.array([]))}
    for part in halves:
        rows = [row for row in load(SOURCE, data) if row.part == part and row.id in native]
        texts = [row.text for row in rows]
        found = [each for start in range(0, len(texts), CHUNK) for each in cascade.assess(texts[start : start + CHUNK])]
        scores = np.array([native[row.id] for row in rows])
        halves[part] = Scored(texts, found, scores, np.array([row.labels[0] >= 0.5 for row in rows]))
    return cascade.version, halves["train"], halves["test"]


def features(half: Scored) -> "sparse.csr_matrix":
    """What `Scale` looks at, a row a text."""
    indices, values, starts = [], [], [0]
    others = []
    for text, assessment in zip(half.texts, half.assessments, strict=True):
        given = words(text)
        for word in given:
            for bucket, weight in buckets(word):
                indices.append(bucket)
                values.append(weight / max(len(given), 1) ** 0.5)
        starts.append(len(indices))
        found = logits([assessment.scores.get(label, 0.0) for label in LABELS])
        others.append(np.concatenate([found, traits(text, len(given))]))
    hashed = sparse.csr_matrix((values, indices, starts), (len(half.texts), BUCKETS), dtype=np.float64)
    hashed.sum_duplicates()
    return sparse.hstack([hashed, sparse.csr_matrix(np.array(others))]).tocsr()


def fit(half: Scored, *, number: int, model: str, out: Path) -> None:
    """Fits the regression, then the curve on scores of texts that it had not seen, and writes both."""
    matrix = features(half)
    target = np.log((half.perspective + LEAST) / (1 - half.perspective + LEAST))
    ridge = _ridge(matrix, target)
    folds = np.random.default_rng(SEED).integers(FOLDS, size=len(target))
    unseen = np.zeros(len(target))
    for fold in range(FOLDS):
        inside = folds == fold
        unseen[inside] = _ridge(matrix[~inside], target[~inside]).predict(matrix[inside])
    shares = np.concatenate([np.linspace(0, 0.98, CURVE // 2), 1 - np.geomspace(0.02, 1e-4, CURVE // 2)])
    start, end = np.quantile(unseen, shares), np.quantile(half.perspective, shares)
    kept = np.concatenate([[True], np.diff(start) > 1e-6])
    # Beyond what was seen the curve goes on in a straight line, to 1.
    beyond = start[kept][-1] + 4.0
    hashed = ridge.coef_[:BUCKETS]
    unit = np.abs(hashed).max() / 127
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out,
        version=number,
        model=model,
        evidence=np.round(hashed / unit).astype(np.int8),
        unit=np.float32(unit),
        labels=ridge.coef_[BUCKETS : BUCKETS + len(LABELS)],
        traits=ridge.coef_[BUCKETS + len(LABELS) :],
        bias=float(ridge.intercept_),
        curve_from=np.append(start[kept], beyond),
        curve_to=np.append(np.maximum.accumulate(end[kept]), 1.0),
    )


def _ridge(matrix: "sparse.csr_matrix", target: Floats) -> Ridge:
    return Ridge(PENALTY, solver="sparse_cg", tol=1e-3, random_state=SEED).fit(matrix, target)


def measure(scale: Scale, half: Scored, console: Console) -> None:
    """Prints how near the scale comes to Perspective, on texts that nothing has seen."""
    ours = np.array(scale.values(half.texts, half.assessments))
    raw = np.array([assessment.scores["toxicity"] for assessment in half.assessments])
    table = Table("measured on the unseen half", "scale", "model as it is", title=f"{scale.model}, {len(ours):,} texts")
    table.add_row("Spearman with Perspective", *(str(_correlation(each, half.perspective)) for each in (ours, raw)))
    table.add_row("AUROC for the human label", *(str(_area(each, half.toxic)) for each in (ours, raw)))
    table.add_row("Perspective's own", str(_area(half.perspective, half.toxic)), "")
    table.add_row("difference to it", *(str(_area(each, half.toxic, half.perspective)) for each in (ours, raw)))
    console.print(table)
    shares = Table("threshold", "Perspective", "scale", "model as it is", title="share of texts at or above it")
    for threshold in THRESHOLDS:
        shares.add_row(f"{threshold}", *(f"{(each >= threshold).mean():.2%}" for each in (half.perspective, ours, raw)))
    console.print(shares)


def _correlation(ours: Floats, theirs: Floats) -> Interval:
    return _interval(lambda drawn: float(spearmanr(ours[drawn], theirs[drawn])[0]), len(ours))


def _area(scores: Floats, toxic: Flags, minus: Floats | None = None) -> Interval:
    def area(drawn: NDArray[np.int64]) -> float:
        own = auroc(scores[drawn].astype(np.float32), toxic[drawn])
        return own if minus is None else own - auroc(minus[drawn].astype(np.float32), toxic[drawn])

    return _interval(area, len(scores), int(toxic.sum()))


def _interval(value: Callable[[NDArray[np.int64]], float], count: int, positives: int = 0) -> Interval:
    chance = np.random.default_rng(SEED)
    found = [value(chance.integers(count, size=count)) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(found, [0.025, 0.975])
    return Interval(value(np.arange(count)), float(low), float(high), count, positives)


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="The folder of labelled sets.")],
    number: Annotated[int, typer.Option(min=1, help="The number of the scale: the next one once it was released.")] = 1,
    only_measure: Annotated[bool, typer.Option("--measure", help="Measure the scale that is there.")] = False,
) -> None:
    """Fits, writes and measures."""
    model, seen, unseen = read(data)
    path = FOLDER / f"{number}.npz"
    if not only_measure:
        fit(seen, number=number, model=model, out=path)
    measure(Scale(path), unseen, Console())


if __name__ == "__main__":
    app()
