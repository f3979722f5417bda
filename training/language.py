"""Trains the language identification for Latin script: `python -m training.language --data DIR`. Same data, same bytes.

It learns from word frequencies (wordfreq, a package of the extra `training`), the lines written for this project and
the labelled sets. Writers that are held out, and a tenth of each set by the hash of its ids, are only measured on.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy import sparse  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from chat_moderator.text import language
from training.rows import CORPUS, load, load_corpus

SEED: Final = 11
LATIN: Final = ("en", "de", "fr", "es", "pt", "it", "tr")
OTHERS: Final = ("nl", "pl", "sv", "da", "fi", "cs", "ro", "hu", "id", "vi")
"""Languages that are only told apart from those that the classifiers know."""

SETS: Final = ("irc_ubuntu", "goemotions", "surge_toxicity", "germeval18", "toldbr", "mlma", "convabuse")
WORDS: Final = 20_000
DRAWN: Final = 3_000  # texts a language, of words drawn by their frequency
LINES: Final = 2_000  # lines a set and language
COPIES: Final = 3  # of each line of the corpus, which is chat and small
PENALTY: Final = 30.0
ENGLISH: Final = 1.4  # log-odds: chat full of names and technical words is English more often than not

app = typer.Typer(add_completion=False)


class Line(NamedTuple):
    """A text, its language as `detect` names it, and whether it is only measured on."""

    text: str
    language: str
    held_out: bool


def corpus_lines() -> Iterator[Line]:
    """The lines written for this project that have letters."""
    for row in load_corpus(CORPUS):
        words = language.words(row.text)
        latin = sum(word.isascii() for word in words) * 2 > len(words)
        name = "hi-Latn" if row.language == "hi" and latin else row.language
        if words and not (latin and row.language not in {*LATIN, "hi", "ar"}):
            yield Line(row.text, name, row.part == "test")


def set_lines(data: Path) -> Iterator[Line]:
    """Lines of the labelled sets in languages with Latin script."""
    for name in SETS:
        counts: dict[str, int] = {}
        for row in load(name, data):
            if row.language in LATIN and language.words(row.text) and counts.get(row.language, 0) < LINES:
                counts[row.language] = counts.get(row.language, 0) + 1
                yield Line(row.text, row.language, row.part == "test")


def drawn_lines(chance: random.Random) -> Iterator[Line]:
    """Short texts of words drawn by how often they are used."""
    from wordfreq import get_frequency_dict, top_n_list  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    for name in (*LATIN, *OTHERS):
        frequencies = get_frequency_dict(name)
        words = [word for word in top_n_list(name, WORDS) if language.words(word)]
        weights = [frequencies[word] ** 0.7 for word in words]  # rare words are worth knowing too
        for _ in range(DRAWN):
            yield Line(" ".join(chance.choices(words, weights, k=chance.randint(1, 8))), name, held_out=False)


def features(texts: list[str]) -> "sparse.csr_matrix":
    """As `detect` weighs them: a mean over the features of a word, summed over words, by the root of their number."""
    indices: list[int] = []
    values: list[float] = []
    starts = [0]
    for text in texts:
        words = [word for word in language.words(text) if not word.isdigit()]
        for word in words:
            found = language.buckets(word)
            indices += found
            values += [1 / len(found) / len(words) ** 0.5] * len(found)
        starts.append(len(indices))
    matrix = sparse.csr_matrix((values, indices, starts), (len(texts), language.BUCKETS), dtype=np.float32)
    matrix.sum_duplicates()
    return matrix


def accuracy(lines: list[Line]) -> dict[str, tuple[int, int]]:
    """By language: lines whose first detected language is right, and lines."""
    found: dict[str, tuple[int, int]] = {}
    for line in lines:
        right, count = found.get(line.language, (0, 0))
        detected = language.detect(line.text)
        same = bool(detected) and language.primary(detected[0]) == language.primary(line.language)
        found[line.language] = (right + same, count + 1)
    return dict(sorted(found.items()))


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="The folder of labelled sets.")],
    out: Annotated[Path, typer.Option(help="Where the weights go.")] = language.WEIGHTS,
    measure: Annotated[bool, typer.Option(help="Only measure the weights that are there.")] = False,
) -> None:
    """Trains, writes, measures."""
    corpus, sets = list(corpus_lines()), list(set_lines(data))
    if not measure:
        fit(corpus, sets, out)
    table = Table("language", "chat lines", "right", "lines of sets", "right")
    chat = accuracy([line for line in corpus if line.held_out])
    other = accuracy([line for line in sets if line.held_out])
    for name in sorted({*chat, *other}):
        cells = []
        for right, count in (chat.get(name, (0, 0)), other.get(name, (0, 0))):
            cells += [f"{count:,}", f"{right / count:.3f}" if count else ""]
        table.add_row(name, *cells)
    Console().print(table)


def fit(corpus: list[Line], sets: list[Line], out: Path) -> None:
    """Fits and writes the weights, in eight bits each."""
    kept = {*LATIN, *OTHERS, "hi-Latn"}
    lines = [line for line in corpus for _ in range(COPIES)] + sets + list(drawn_lines(random.Random(SEED)))
    lines = [line for line in lines if line.language in kept and not line.held_out]
    model = LogisticRegression(C=PENALTY, max_iter=40, random_state=SEED, class_weight="balanced")
    model.fit(features([line.text for line in lines]), [line.language for line in lines])
    weights = model.coef_.T
    scale = np.abs(weights).max() / 127
    np.savez_compressed(
        out,
        languages=np.array(model.classes_),
        weights=np.round(weights / scale).astype(np.int8),
        scale=np.float32(scale),
        bias=(model.intercept_ + ENGLISH * (model.classes_ == "en")).astype(np.float32),
    )


if __name__ == "__main__":
    app()
