"""`python -m benchmarks.queueing`: how many workers a rate needs, beyond what one machine can show: a simulation.

Assumptions, each a constant or an option:

- Messages arrive as a Poisson process whose rate is doubled for a tenth of the time, in bursts of three seconds.
- Channels are hashed to 64 lanes; how busy channels are follows Zipf's law with exponent 1 over 2,000 channels.
- A worker leases up to 512 messages of free lanes, oldest first, at most half of the free lanes; a leased lane is
  nobody else's until it is settled.
- A worker works on one lease at a time; real ones overlap three, and wait less for round trips.
- A lease takes a fixed time (the round trips to the broker and the store) and a time a message (`--per-core`).
- Workers neither fail nor scale meanwhile; the broker, the store and the network are never the limit.

What the simulation prints is therefore what judging alone asks for: leave room for what it leaves out.
"""

import argparse
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

LANES = 64
CHANNELS = 2_000
LEASE = 512
STEP = 0.01  # seconds of a tick
BURST, EVERY = 3.0, 30.0  # seconds
OVERHEAD = 0.020  # seconds a lease, whatever is in it
RATES = (1_000, 10_000, 30_000, 100_000, 300_000)
PROMPT = 1.0  # seconds that 99 of 100 messages may wait for their verdict


@dataclass(frozen=True)
class Outcome:
    """Seconds that messages waited for their verdict, the share of time that workers worked, what was left over."""

    median: float
    p99: float
    busy: float
    backlog: int


def simulate(rate: float, workers: int, per_core: float, seconds: float, *, seed: int = 1) -> Outcome:
    """What becomes of messages that arrive at a mean `rate` a second, with so many workers of one core each."""
    random = np.random.default_rng(seed)
    weights = 1 / np.arange(1, CHANNELS + 1)
    lane_of = random.integers(0, LANES, CHANNELS)
    shares = np.bincount(lane_of, weights / weights.sum(), LANES)
    steps = int(seconds / STEP)
    quiet = rate / (1 + BURST / EVERY)
    # What each lane got up to each step, and how much of it is done: a lane is first in, first out.
    got = np.zeros((steps + 1, LANES), np.int64)
    for step in range(steps):
        now = rate_at(step * STEP, quiet)
        got[step + 1] = got[step] + random.poisson(now * STEP * shares)
    done = np.zeros(LANES, np.int64)
    leased = np.zeros(LANES, bool)
    free_at = np.zeros(workers)
    holding: list[list[tuple[int, int]]] = [[] for _ in range(workers)]
    busy = 0.0
    waits: list[tuple[float, int]] = []
    for step in range(1, steps + 1):
        at = step * STEP
        for worker in range(workers):
            if free_at[worker] > at:
                continue
            for lane, count in holding[worker]:
                waits += _waits(got[: step + 1, lane], done[lane], count, free_at[worker])
                done[lane] += count
                leased[lane] = False
            holding[worker] = []
        for worker in range(workers):
            if free_at[worker] > at:
                continue
            taken = _take(got, done, leased, step)
            if not taken:
                break
            holding[worker] = taken
            service = OVERHEAD + sum(count for _, count in taken) / per_core
            busy += service
            free_at[worker] = at + service
    seconds_waited = np.array([wait for wait, _ in waits])
    counts = np.array([count for _, count in waits])
    order = np.argsort(seconds_waited)
    shares_done = np.cumsum(counts[order]) / counts.sum()
    at_least = [float(seconds_waited[order][np.searchsorted(shares_done, share)]) for share in (0.5, 0.99)]
    return Outcome(at_least[0], at_least[1], busy / (workers * seconds), int((got[-1] - done).sum()))


def rate_at(at: float, quiet: float) -> float:
    """Messages a second at a moment."""
    return 2 * quiet if at % EVERY >= EVERY - BURST else quiet


def needed(rate: float, per_core: float, seconds: float) -> tuple[int, Outcome]:
    """The fewest workers with which 99 of 100 messages wait at most `PROMPT` seconds, and what they find."""
    workers = min(LANES, max(1, math.ceil(rate * (OVERHEAD / LEASE + 1 / per_core))))
    while True:
        outcome = simulate(rate, workers, per_core, seconds)
        if outcome.p99 <= PROMPT or workers >= LANES:
            return workers, outcome
        workers = min(LANES, workers + max(1, workers // 8))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queueing", description=__doc__)
    parser.add_argument("--per-core", type=float, default=17_000, help="messages a second that one core judges")
    parser.add_argument("--seconds", type=float, default=60, help="that are simulated")
    arguments = parser.parse_args()
    table = Table(
        title=f"Workers for 99 of 100 verdicts within {PROMPT:g} s, {arguments.per_core:,.0f} a second a core"
    )
    for column in ("messages a second", "workers", "busy", "median s", "99 % s", "kept"):
        table.add_column(column, justify="right")
    for rate in RATES:
        workers, outcome = needed(rate, arguments.per_core, arguments.seconds)
        found = (f"{outcome.busy:.0%}", f"{outcome.median:.3f}", f"{outcome.p99:.3f}")
        table.add_row(f"{rate:,}", f"{workers}", *found, "yes" if outcome.p99 <= PROMPT else "NO")
    Console().print(table)


def _take(got: NDArray[Any], done: NDArray[Any], leased: NDArray[Any], step: int) -> list[tuple[int, int]]:
    """Lanes and how many of their messages a worker leases."""
    waiting = np.where(leased, 0, got[step] - done)
    lanes = np.flatnonzero(waiting)
    if not len(lanes):
        return []
    arrived = np.array([np.searchsorted(got[: step + 1, lane], done[lane], side="right") for lane in lanes])
    most = max(1, int((~leased).sum()) // 2)
    taken, left = [], LEASE
    for lane in lanes[np.argsort(arrived, kind="stable")][:most]:
        count = min(left, int(waiting[lane]))
        if not count:
            break
        taken.append((int(lane), count))
        leased[lane] = True
        left -= count
    return taken


def _waits(got: NDArray[Any], first: int, count: int, at: float) -> list[tuple[float, int]]:
    """How long the messages `first` to `first + count` of a lane waited, and how many each time."""
    begin = int(np.searchsorted(got, first, side="right"))
    end = int(np.searchsorted(got, first + count, side="left"))
    found = []
    for step in range(begin, end + 1):
        number = int(min(got[step], first + count) - max(got[step - 1], first))
        if number > 0:
            found.append((at - step * STEP, number))
    return found


if __name__ == "__main__":
    main()
