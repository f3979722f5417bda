"""Prometheus metrics. Every name is here; labels hold configured names only, never what users write."""

import math
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

import prometheus_client as prometheus

from chat_moderator.types import Depth, Record, Struct, Verdict

WINDOW: Final = 10.0
"""Seconds that the live numbers look back."""

SAMPLES: Final = 10_000
BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Live(Struct, frozen=True):
    """The last ten seconds: messages a second, the share that was blocked (0 to 1), latency in milliseconds."""

    rate: float
    blocked: float
    p50: float
    p99: float


class Metrics:
    """Counts what was decided; implements `Observer`."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        self._messages = prometheus.Counter(
            "chat_moderator_messages", "Messages decided, by verdict.", ["verdict"], registry=self.registry
        )
        self._rules = prometheus.Counter(
            "chat_moderator_rule_failures",
            "Rules that failed while running, by name.",
            ["rule"],
            registry=self.registry,
        )
        self._latency = prometheus.Histogram(
            "chat_moderator_decision_seconds",
            "Seconds from arrival to committed decision, the slowest of each batch.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._waiting = prometheus.Gauge(
            "chat_moderator_queue_waiting", "Messages that wait for a worker.", registry=self.registry
        )
        self._leased = prometheus.Gauge(
            "chat_moderator_queue_leased", "Messages that a worker has.", registry=self.registry
        )
        self._delayed = prometheus.Gauge(
            "chat_moderator_queue_delayed", "Messages put aside for later.", registry=self.registry
        )
        self._dead = prometheus.Gauge("chat_moderator_dead_letters", "Messages given up.", registry=self.registry)
        self._oldest = prometheus.Gauge(
            "chat_moderator_queue_oldest_seconds", "Age of the oldest waiting message.", registry=self.registry
        )
        self._outbox = prometheus.Gauge(
            "chat_moderator_outbox", "Actions decided and not yet done.", registry=self.registry
        )
        self._reloads = prometheus.Counter(
            "chat_moderator_reloads", "Reloads of the configuration, by result.", ["result"], registry=self.registry
        )
        self._by_verdict = {verdict: self._messages.labels(verdict.value) for verdict in Verdict}
        self._recent: deque[tuple[float, int, int, float]] = deque(maxlen=SAMPLES)

    def decided(self, records: Sequence[Record]) -> None:
        """See `Observer.decided`."""
        counts = Counter(record.decision.verdict for record in records)
        for verdict, count in counts.items():
            self._by_verdict[verdict].inc(count)
        oldest = min(record.received_at for record in records)
        latency = max(0.0, time.time() - oldest.timestamp())
        self._latency.observe(latency)
        self._recent.append((time.monotonic(), len(records), counts[Verdict.BLOCK], latency))

    def rule_failed(self, rule: str) -> None:
        """A configured rule failed at run time."""
        self._rules.labels(rule).inc()

    def reloaded(self, result: str) -> None:
        """The configuration was read again; `result` is `ok` or `refused`."""
        self._reloads.labels(result).inc()

    def measured(self, depth: Depth, outbox: int) -> None:
        """How full the queue and the outbox are now."""
        self._waiting.set(depth.waiting)
        self._leased.set(depth.leased)
        self._delayed.set(depth.delayed)
        self._dead.set(depth.dead)
        self._oldest.set(depth.oldest.total_seconds())
        self._outbox.set(outbox)

    def live(self) -> Live:
        """The live numbers."""
        since = time.monotonic() - WINDOW
        recent = [sample for sample in list(self._recent) if sample[0] >= since]
        messages = sum(count for _, count, _, _ in recent)
        if not messages:
            return Live(0.0, 0.0, 0.0, 0.0)
        latencies = sorted(latency for *_, latency in recent)
        return Live(
            rate=round(messages / WINDOW, 1),
            blocked=round(sum(blocked for _, _, blocked, _ in recent) / messages, 4),
            p50=round(1000 * latencies[len(latencies) // 2], 1),
            p99=round(1000 * latencies[math.ceil(0.99 * len(latencies)) - 1], 1),
        )
