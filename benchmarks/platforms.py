"""`python -m benchmarks.platforms`: what the platforms' connections hold under load, copies, refusals and outages.

Every platform is a server of the tests on loopback that speaks its protocol; the burst goes through the command in a
process of its own. The same functions are asserted on by the tests, with shorter outages.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.contracts.cases import GENERIC, WEBHOOKS
from tests.figures.burst import Burst, burst
from tests.figures.copies import of_a_delivery, of_a_press, of_an_event
from tests.figures.outage import CASES, outage
from tests.figures.refusals import missing_permission, refused_token
from tests.servers.discord import discord_server

from chat_moderator.store.database import Database
from chat_moderator.testing.webhooks import vectors
from chat_moderator.types import now

PARTS = ("webhooks", "burst", "refusals", "copies", "outages")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="What the platforms' connections hold.")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all where none is named")
    parser.add_argument("--messages", type=int, default=2000, help="of the burst, a fifth of them to delete")
    parser.add_argument("--rate", type=float, default=200.0, help="messages a second of the burst")
    parser.add_argument("--outage", type=float, default=30.0, help="seconds that a connection is lost")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    wanted = arguments.parts or PARTS
    if "webhooks" in wanted:
        webhooks()
    if "burst" in wanted:
        bursts(arguments.messages, arguments.rate)
    if "refusals" in wanted:
        asyncio.run(refusals())
    if "copies" in wanted:
        copies()
    if "outages" in wanted:
        outages(arguments.outage)


def webhooks() -> None:
    table = Table("webhook", "calls that are refused", title="Calls that no platform made")
    for kind in (*(kind for kinds in WEBHOOKS.values() for kind in kinds), *GENERIC):
        case = kind()
        table.add_row(type(case).__name__, f"{len(vectors(case, now()))}")
    Console().print(table)


def bursts(messages: int, rate: float) -> None:
    title = f"{messages:,} messages on Discord, {rate:g} a second, a fifth to delete; ms to the call that deletes"
    table = Table(*("", "p50", "p95", "p99", "left", "calls", "refused", "early", "invalid"), title=title)
    for name, every in (("not limited", 0), ("limited", 4)):
        with directory() as place:
            found: Burst = asyncio.run(burst(place, messages, rate=rate, every=every))
        waits = (f"{1000 * found.at(share):,.0f}" for share in (0.5, 0.95, 0.99))
        counts = (found.left, found.calls, found.limited, found.early, found.invalid)
        table.add_row(name, *waits, *map(str, counts))
    Console().print(table)


async def refusals() -> None:
    table = Table("", "invalid requests in ten minutes, at most", title="Discord, half an hour of simulated time")
    async with discord_server() as discord:
        with directory() as place:
            database = Database(place)
            table.add_row("the token was revoked, 400 deletions wait", f"{await refused_token(discord, database)}")
            database.close()
    async with discord_server() as discord:
        table.add_row("four deletions a second, none allowed", f"{await missing_permission(discord)}")
    Console().print(table)


def copies() -> None:
    table = Table("", "decisions", "calls that delete", "confirmed", title="50 copies of a call, all at once")
    calls = [(f"{name}, a message", of_an_event, name) for name in ("slack", "telegram", "twitch")]
    calls += [(f"{name}, a button", of_a_press, name) for name in ("discord", "slack")]
    for title, measure, name in calls:
        with directory() as place:
            found = asyncio.run(measure(name, place))
        table.add_row(title, str(found.decisions), str(found.deletions), str(found.confirmed))
    with directory() as place:
        table.add_row("Standard Webhooks", str(asyncio.run(of_a_delivery(place)).decisions), "", "")
    Console().print(table)


def outages(seconds: float) -> None:
    title = f"A connection that is lost for {seconds:g} s, 20 messages a second"
    table = Table("", "written", "meanwhile", "lost", "twice", "gaps told", "s", title=title)
    for name in CASES:
        begun = time.monotonic()
        with directory() as place:
            found = asyncio.run(outage(name, place, seconds))
        numbers = (found.written, found.meanwhile, found.lost, found.doubled, found.gaps)
        table.add_row(name, *map(str, numbers), f"{time.monotonic() - begun:.0f}")
    Console().print(table)


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="platforms") as name:
        yield Path(name)


if __name__ == "__main__":
    main()
