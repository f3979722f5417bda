"""`python -m benchmarks.functions`: a function's messages a second a core, its cold start, the size of its package.

Exits with 1 when a figure that the project promises is missed. The peer's cold start, a BERT-base `transformers`
pipeline with random weights, is measured in the same run.
"""

import argparse
import importlib.metadata
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.messages import texts
from benchmarks.peer_environment import ask_peer
from chat_moderator.functions.cerebrium import CerebriumFunction

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "deploy" / "aws-lambda" / "requirements.txt"
BATCHES = (1, 16, 100, 512)
STARTS = 3
PROMISED_COLD = 1.0  # seconds of processor time
PROMISED_SIZE = 250  # MB
PROMISED_RATIO = 6.0

HEAVY = ("litestar", "onnxruntime", "rich", "starlette", "torch", "transformers", "typer", "uvicorn")
"""What a function must not import: servers, the command line, other classifiers' libraries."""

FIRST = """
import json
import sys
import time
import main
imported = time.process_time()
main.run(messages=[{"id": "1", "text": "Hello!"}])
print(json.dumps({"imported": imported, "first": time.process_time(), "modules": sorted(sys.modules)}))
"""


def rates(messages: int) -> list[tuple[int, float]]:
    """Messages a second of processor time, by messages a call."""
    with tempfile.TemporaryDirectory() as folder:
        function = CerebriumFunction(Path(folder), {})
    lines = texts(messages)
    half = messages // 2
    for start in range(0, half, BATCHES[-1]):  # a function that runs for a while knows most words
        function.run(messages=_body(lines[start : start + BATCHES[-1]]))
    found = []
    for batch in BATCHES:
        some = lines[half : half + min(half, 200 * batch)]
        bodies = [_body(some[start : start + batch]) for start in range(0, len(some), batch)]
        started = time.process_time()
        for body in bodies:
            function.run(messages=body)
        found.append((batch, len(some) / (time.process_time() - started)))
    return found


def _body(lines: list[str]) -> list[dict[str, str]]:
    return [{"id": str(index), "text": text} for index, text in enumerate(lines)]


@dataclass(frozen=True)
class ColdStart:
    """Processor seconds from a process's start until all is imported, until its first verdict; heavy modules in it."""

    imported: float
    first: float
    heavy: tuple[str, ...]


def cold_start() -> ColdStart:
    """The medians of some starts."""
    found = []
    for _ in range(STARTS):
        done = subprocess.run([sys.executable, "-c", FIRST], cwd=ROOT, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    imported, first = (statistics.median(each[name] for each in found) for name in ("imported", "first"))
    return ColdStart(imported, first, tuple(name for name in HEAVY if name in found[0]["modules"]))


def peer_cold_start() -> float:
    """The same of a transformers pipeline, measured from outside."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ask_peer("peer.py", lines=["Hello!"])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def package_size() -> float:
    """MB of the package and all that it needs in a function, without bytecode."""
    seen: set[str] = set()
    size = sum(path.stat().st_size for path in (ROOT / "src").rglob("*") if path.is_file() and "cache" not in str(path))
    waiting = [line for line in REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    while waiting:
        name = re.split(r"[\s\[<>=!~;(]", waiting.pop())[0].lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        found = importlib.metadata.distribution(name)
        places = [Path(str(found.locate_file(file))) for file in found.files or ()]
        size += sum(place.stat().st_size for place in places if place.is_file() and place.suffix != ".pyc")
        waiting += [each for each in found.requires or () if ";" not in each]
    return size / 1e6


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.functions", description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--no-peer", action="store_true", help="leave the transformers pipeline out")
    arguments = parser.parse_args()
    os.environ.pop("TOXICITY_THRESHOLD", None)
    console = Console()
    speeds = Table(title="Messages a second a core, through the function, default classifier")
    speeds.add_column("messages a call", justify="right")
    speeds.add_column("a second of processor time", justify="right")
    for batch, speed in rates(arguments.messages):
        speeds.add_row(f"{batch}", f"{speed:,.0f}")
    console.print(speeds)
    cold, size = cold_start(), package_size()
    rows = [
        ("process start to first verdict, processor seconds", f"{cold.first:.2f}", f"<= {PROMISED_COLD}",
         cold.first <= PROMISED_COLD),
        ("of that, until all is imported", f"{cold.imported:.2f}", "", True),
        ("servers and other classifiers' libraries imported", ", ".join(cold.heavy) or "none", "none", not cold.heavy),
        ("package with dependencies, unzipped, MB", f"{size:.0f}", f"<= {PROMISED_SIZE}", size <= PROMISED_SIZE),
    ]  # fmt: skip
    if not arguments.no_peer:
        ratio = peer_cold_start() / cold.first
        rows.append(
            ("a BERT-base pipeline's start, times ours", f"{ratio:.1f}", f">= {PROMISED_RATIO}",
             ratio >= PROMISED_RATIO)
        )  # fmt: skip
    table = Table(title="Promises")
    for column in ("what", "found", "promised", "kept"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what, found, promised, kept in rows:
        table.add_row(what, found, promised, "yes" if kept else "NO")
    console.print(table)
    return 0 if all(kept for *_, kept in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
