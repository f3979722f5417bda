"""`python -m benchmarks`: the pipeline under load, single messages beside it, and the peer, in one table.

Exits with 1 when a figure that the project promises is missed or a message is unaccounted for.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.load import probe, send_all
from benchmarks.messages import bodies, texts
from benchmarks.peer_environment import ask_peer
from benchmarks.server import Server, serving

BATCH = 100
RATE = 200.0
CONNECTIONS = 8
PROMISED_RATE = 20_000
PROMISED_ALONE = (5.0, 25.0)  # p50 and p99 in milliseconds
PROMISED_BESIDE = 100.0  # p99 in milliseconds
PROMISED_MEMORY = 300  # MB


async def measure(server: Server, lines: list[str], more: list[str], singles: list[str]) -> dict[str, float]:
    """Single messages alone, the bulk alone, then single messages beside another bulk."""
    alone = await probe(server.host, server.port, singles[:1000], RATE, asyncio.Event())
    started, processor = time.perf_counter(), server.processor()
    bulk = await send_all(server.host, server.port, bodies(lines, BATCH), CONNECTIONS)
    await asyncio.to_thread(server.wait_until_settled)
    seconds, processor = time.perf_counter() - started, server.processor() - processor
    memory = server.memory()
    stop = asyncio.Event()
    beside = asyncio.create_task(probe(server.host, server.port, singles[1000:], RATE, stop))
    second = await send_all(server.host, server.port, bodies(more, BATCH, seed=2, first=len(lines)), CONNECTIONS)
    await asyncio.to_thread(server.wait_until_settled)
    stop.set()
    latencies = await beside
    sent, single = len(lines) + len(more), len(alone.seconds) + len(latencies.seconds)
    return {
        "sent": sent,
        "accepted": bulk.accepted + second.accepted,
        "decided": server.metric("chat_moderator_messages_total") - single,
        "audited": server.audited(),
        "refused for load": bulk.refused + second.refused,
        "accepted per second": bulk.accepted / bulk.seconds,
        "messages per second": len(lines) / seconds,
        "processor microseconds a message": 1e6 * processor / len(lines),
        "alone p50 ms": alone.percentile(0.5),
        "alone p99 ms": alone.percentile(0.99),
        "beside p50 ms": latencies.percentile(0.5),
        "beside p99 ms": latencies.percentile(0.99),
        "memory MB": memory / 1e6,
    }


def verdicts(figures: dict[str, float]) -> list[tuple[str, str, str, bool]]:
    """Each promise: what, found, promised, kept."""
    count = figures["sent"]
    same = figures["accepted"] == figures["decided"] == figures["audited"] == count
    counts = " = ".join(f"{figures[name]:,.0f}" for name in ("accepted", "decided", "audited"))
    return [
        ("accepted = decided = audited", counts, f"{count:,.0f}", same),
        ("messages a second, HTTP to audit", f"{figures['messages per second']:,.0f}", f">= {PROMISED_RATE:,}",
         figures["messages per second"] >= PROMISED_RATE),
        ("processor time of the server, microseconds a message",
         f"{figures['processor microseconds a message']:.0f}", "", True),
        ("one message, p50 ms at 200/s", f"{figures['alone p50 ms']:.1f}", f"<= {PROMISED_ALONE[0]:.0f}",
         figures["alone p50 ms"] <= PROMISED_ALONE[0]),
        ("one message, p99 ms at 200/s", f"{figures['alone p99 ms']:.1f}", f"<= {PROMISED_ALONE[1]:.0f}",
         figures["alone p99 ms"] <= PROMISED_ALONE[1]),
        ("the same beside the bulk load, p99 ms", f"{figures['beside p99 ms']:.1f}", f"<= {PROMISED_BESIDE:.0f}",
         figures["beside p99 ms"] <= PROMISED_BESIDE),
        ("resident memory after it, MB", f"{figures['memory MB']:.0f}", f"<= {PROMISED_MEMORY}",
         figures["memory MB"] <= PROMISED_MEMORY),
    ]  # fmt: skip


def measure_chat(arguments: argparse.Namespace, console: Console) -> int:
    """Real chat, and the peer on some of it."""
    from benchmarks import chat

    figures, lines = chat.run(arguments.data, whole=arguments.whole)
    kept = chat.show(figures, console)
    if not arguments.no_peer:
        answer = ask_peer("peer.py", lines=lines[: arguments.peer_messages])
        figures["peer per second"] = float(answer["per_second"])
        ratio = figures["messages per second"] / figures["peer per second"]
        console.print(f"peer, transformers pipeline: {figures['peer per second']:,.0f} a second, {ratio:,.0f}x")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))
    return 0 if kept else 1


def main() -> int:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--peer-messages", type=int, default=512)
    parser.add_argument("--no-peer", action="store_true", help="leave the transformers pipeline out")
    parser.add_argument("--chat", action="store_true", help="real chat through the default cascade instead")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="with --chat: the labelled sets")
    parser.add_argument("--whole", action="store_true", help="with --chat: the last tier judges all, not one in ten")
    parser.add_argument("--queues", action="store_true", help="the queues' adapters beside their bare clients instead")
    parser.add_argument("--workers", action="store_true", help="what a second `work` process adds instead")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    console = Console()
    if arguments.queues:
        from benchmarks import queues

        return queues.run(list(queues.LOADS))
    if arguments.workers:
        from benchmarks import workers

        return workers.run()
    if arguments.chat:
        return measure_chat(arguments, console)
    lines = texts(arguments.messages)
    more, singles = texts(arguments.messages // 2, seed=2), texts(20_000, seed=3)
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory)) as server:
        figures = asyncio.run(measure(server, lines, more, singles))
    rows = verdicts(figures)
    table = Table(title=f"{arguments.messages:,} messages, {BATCH} a request, three rules, every 202 fsynced")
    for column in ("what", "found", "promised", "kept"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what, found, promised, kept in rows:
        table.add_row(what, found, promised, "yes" if kept else "NO")
    if not arguments.no_peer:
        answer = ask_peer("peer.py", lines=lines[: arguments.peer_messages])
        figures["peer per second"] = float(answer["per_second"])
        ratio = figures["messages per second"] / figures["peer per second"]
        found = f"{figures['peer per second']:,.0f}"
        table.add_row("peer: transformers pipeline, BERT-base shape, batch 32", found, "", f"{ratio:,.0f}x")
    console.print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))
    return 0 if all(kept for *_, kept in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
