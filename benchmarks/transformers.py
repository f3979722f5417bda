"""`python -m benchmarks.transformers`: a plain `transformers` pipeline and ours, one model, the same texts, one run.

The model has BERT-base's shape and random weights. Exits with 1 when ours is not five times as fast, or is not the same
model in float32.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.messages import texts
from benchmarks.peer_environment import ask_peer
from benchmarks.transformers_peer import BATCH, LABELS
from chat_moderator.classifiers.transformers import Config, TransformersClassifier

PROMISED = 5.0
SAME = 1e-4
LONGEST = 60


def lines(count: int, seed: int = 1) -> Iterator[str]:
    """Chat of ten words in the middle and of uneven length: the logarithm of the length is normally distributed."""
    rng = random.Random(seed)
    words = iter(" ".join(texts(2 * count, seed)).split())
    for _ in range(count):
        length = max(1, min(LONGEST, round(rng.lognormvariate(2.05, 0.7))))
        yield " ".join(next(words) for _ in range(length))


def ours(folder: Path, given: list[str], threads: int, precision: str) -> tuple[float, float, NDArray[np.float32]]:
    """Seconds, processor seconds and scores of one pass in batches of 32, after one of warming up."""
    settings = {"model": str(folder), "precision": precision, "threads": threads, "cache": str(folder / "cache")}
    classifier = TransformersClassifier(Config(device="cpu", **settings))  # type: ignore[arg-type]
    classifier.score(given[:BATCH])
    started, processor = time.perf_counter(), time.process_time()
    scores = [classifier.score(given[at : at + BATCH]) for at in range(0, len(given), BATCH)]
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    return seconds, processor, np.concatenate(scores)


def main() -> int:
    """Runs both and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transformers", description=__doc__)
    parser.add_argument("--messages", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1, help="of the pipeline and of ours")
    arguments = parser.parse_args()
    given = list(lines(arguments.messages))
    with tempfile.TemporaryDirectory() as directory:
        peer = ask_peer("transformers_peer.py", directory, str(arguments.threads), lines=given)
        whole = ours(Path(directory), given, arguments.threads, "float32")
        fast = ours(Path(directory), given, arguments.threads, "int8")
    # Detoxify's names are in the order of our columns.
    differences = [float(np.abs(each[2] - np.array(peer["scores"])).max()) for each in (whole, fast)]
    words = sum(len(line.split()) for line in given) / len(given)
    title = f"{len(given)} messages of {words:.1f} words, {peer['tokens']:.1f} tokens; batch {BATCH}; "
    table = Table(title=f"{title}{arguments.threads} thread(s); BERT-base shape, {len(LABELS)} labels, random weights")
    for column in ("what", "messages a second", "a processor second", "ratio of these", "largest difference"):
        table.add_column(column, justify="left" if column == "what" else "right")
    rows = (
        ("transformers pipeline, float32", peer["seconds"], peer["processor"], 0.0),
        ("transformers tier, float32", *whole[:2], differences[0]),
        ("transformers tier, int8", *fast[:2], differences[1]),
    )
    for what, seconds, processor, difference in rows:
        rates = (f"{len(given) / seconds:.1f}", f"{len(given) / processor:.1f}")
        table.add_row(what, *rates, f"{peer['processor'] / processor:.1f}x", f"{difference:.1e}")
    Console(width=120).print(table)
    fast_enough = min(peer["seconds"] / fast[0], peer["processor"] / fast[1]) >= PROMISED
    return 0 if fast_enough and differences[0] <= SAME else 1


if __name__ == "__main__":
    sys.exit(main())
