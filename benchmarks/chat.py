"""`--chat`: lines that people wrote and no training or calibration saw, through the default cascade."""

import asyncio
import random
import tempfile
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from training.cascade import CHAT
from training.rows import Row, load, load_corpus

from benchmarks.load import send_all
from benchmarks.messages import bodies
from benchmarks.server import Server, serving
from chat_moderator.app import build_cascade, build_policy
from chat_moderator.config import CascadeSettings, Settings
from chat_moderator.moderator.agreement import Agreement, compare

BATCH = 100
CONNECTIONS = 8
PROMISED_RATE = 10_000
SAMPLE = 0.1
TOXIC = 0.06
"""Share of the lines that are toxic by their label: more than in most chats, so that there is something to judge."""
TIERS = CascadeSettings(tiers=("ngram", "encoder"))
SETTINGS = '[cascade]\ntiers = ["ngram", "encoder"]\n'


def unique(data: Path) -> list[Row]:
    """Test rows, every text once, `TOXIC` of them toxic, in an order that is the same each time."""
    rows = [row for name in CHAT if name != "corpus" for row in load(name, data)] + load_corpus()
    seen = {row.text for row in rows if row.part != "test"}
    found = list(
        {row.text: row for row in rows if row.part == "test" and row.text.strip() and row.text not in seen}.values()
    )
    toxic = [row for row in found if row.labels[0] >= 0.5]
    others = [row for row in found if not row.labels[0] >= 0.5]  # what has no label counts here
    random.Random(4).shuffle(toxic)
    chosen = others + toxic[: round(TOXIC / (1 - TOXIC) * len(others))]
    random.Random(4).shuffle(chosen)
    return chosen


def run(data: Path, *, whole: bool) -> tuple[dict[str, float], list[str]]:
    """Figures, and the lines; with `whole`, the last tier judges every line, else one in ten."""
    rows = unique(data)
    lines = [row.text for row in rows]
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory), SETTINGS) as server:
        seconds = asyncio.run(_drive(server, lines))
        tiers = server.series("chat_moderator_tier_messages_total")
        memo = server.metric("chat_moderator_memo_hit_ratio")
        degraded = server.metric("chat_moderator_degraded_total")
        audited, memory = server.audited(), server.memory()
    settings = Settings(cascade=TIERS)
    bare = msgspec.structs.replace(settings, cascade=msgspec.structs.replace(settings.cascade, hints=()))
    sample = lines if whole else random.Random(9).sample(lines, round(SAMPLE * len(lines)))
    found, _ = compare(build_cascade(bare), build_policy(settings), sample)
    first = settings.cascade.tiers[0]
    return {
        "lines": len(lines),
        "toxic": sum(row.labels[0] >= 0.5 for row in rows) / len(rows),
        "audited": audited,
        "messages per second": len(lines) / seconds,
        "escalated": 1 - tiers.get(first, 0.0) / max(sum(tiers.values()), 1.0),
        "memo hits": memo,
        "degraded": degraded,
        "memory MB": memory / 1e6,
        **_judged(found),
    }, lines


def show(figures: dict[str, float], console: Console) -> bool:
    """Prints the table; whether every promise is kept."""
    rows = [
        ("audited", f"{figures['audited']:,.0f}", f"{figures['lines']:,.0f}", figures["audited"] == figures["lines"]),
        ("toxic by its label", f"{figures['toxic']:.1%}", ">= 5%", figures["toxic"] >= 0.05),
        ("messages a second, HTTP to audit", f"{figures['messages per second']:,.0f}", f">= {PROMISED_RATE:,}",
         figures["messages per second"] >= PROMISED_RATE),
        ("escalated", f"{figures['escalated']:.1%}", "", True),
        ("word memo hits", f"{figures['memo hits']:.1%}", "", True),
        ("degraded", f"{figures['degraded']:,.0f}", "0", figures["degraded"] == 0),
        (f"verdicts that differ, of {figures['judged']:,.0f} judged whole",
         f"{figures['differ']:.2%}, at most {figures['differ bound']:.2%}", "<= 0.5%",
         figures["differ bound"] <= 0.005),
        (f"missed of the {figures['acted']:,.0f} acted on",
         f"{figures['missed']:.2%}, at most {figures['missed bound']:.2%}", "<= 5%", figures["missed bound"] <= 0.05),
        ("resident memory after it, MB", f"{figures['memory MB']:.0f}", "<= 300", figures["memory MB"] <= 300),
    ]  # fmt: skip
    table = Table(title=f"{figures['lines']:,.0f} unique lines of chat, default cascade, every 202 fsynced")
    for column in ("what", "found", "promised", "kept"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what, found, promised, kept in rows:
        table.add_row(what, found, promised, "yes" if kept else "NO")
    console.print(table)
    return all(kept for *_, kept in rows)


def _judged(found: Agreement) -> dict[str, float]:
    return {
        "judged": found.texts,
        "acted": found.acted,
        "differ": found.disagreement[0],
        "differ bound": found.disagreement[1],
        "missed": found.missed_share[0],
        "missed bound": found.missed_share[1],
    }


async def _drive(server: Server, lines: list[str]) -> float:
    started = time.perf_counter()
    await send_all(server.host, server.port, bodies(lines, BATCH), CONNECTIONS)
    await asyncio.to_thread(server.wait_until_settled)
    return time.perf_counter() - started
