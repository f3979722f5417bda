"""`python -m training.check_corpus`: checks every line of the chat corpus; counts by language, writer and verdict."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from training.rows import CORPUS, HELD_OUT_WRITERS

_VERDICT = re.compile(r"\+?(ok|bad|care)")
_LABELS = re.compile(r"-|[tvohiaxsp]+")
_NAME = re.compile(r"(w\d\d)-(\w+)")
_LINK = re.compile(r"\b[a-z0-9-]+\.(com|net|org|gg|io|tv|ru|me|xyz)\b", re.IGNORECASE)
_RESERVED = re.compile(r"[\w.-]*\b(example\.(com|net|org)|[\w-]+\.(example|test))\b", re.IGNORECASE)


def lines() -> Iterator[tuple[Path, int, list[str]]]:
    """Every line: its file, its number from 1, its fields."""
    for path in sorted(CORPUS.glob("*/*.tsv")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            yield path, number, line.split("\t")


def problems() -> Iterator[str]:
    """What breaks the guide's rules, with its place."""
    seen: dict[str, str] = {}
    for path, number, fields in lines():
        place = f"{path.relative_to(CORPUS)}:{number}"
        if not _NAME.fullmatch(path.stem):
            yield f"{place}: the file is not named WRITER-PHENOMENON.tsv"
        if len(fields) != 3:
            yield f"{place}: expected three columns divided by tabs"
            continue
        verdict, labels, text = fields
        if not _VERDICT.fullmatch(verdict):
            yield f"{place}: unknown verdict {verdict!r}"
        if not _LABELS.fullmatch(labels):
            yield f"{place}: unknown labels {labels!r}"
        if not text.strip():
            yield f"{place}: no text"
        if verdict.endswith("bad") and labels == "-":
            yield f"{place}: abuse without a label"
        if _LINK.search(_RESERVED.sub("", text)):
            yield f"{place}: a link that is not reserved for examples"
        if (first := seen.setdefault(text.casefold().strip(), place)) != place:
            yield f"{place}: the same text as {first}"


def main() -> int:
    """Prints the counts; 1 when a line breaks the rules."""
    console = Console()
    counts: Counter[tuple[str, str, str]] = Counter()
    for path, _, fields in lines():
        counts[path.parent.name, path.stem.partition("-")[0], fields[0].lstrip("+")] += 1
    table = Table(title=f"{counts.total():,} lines")
    for column in ("language", "writer", "ok", "bad", "care", "split"):
        table.add_column(column, justify="left" if column in {"language", "writer", "split"} else "right")
    for language, writer in sorted({key[:2] for key in counts}):
        numbers = [f"{counts[language, writer, verdict]:,}" for verdict in ("ok", "bad", "care")]
        table.add_row(language, writer, *numbers, "held out" if writer in HELD_OUT_WRITERS else "training")
    console.print(table)
    found = list(problems())
    for problem in found:
        console.print(problem, markup=False, highlight=False)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
