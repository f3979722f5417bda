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
        self._tiers = prometheus.Counter(
            "chat_moderator_tier_messages",
            "Messages by the tier of the cascade that answered.",
            ["tier"],
            registry=self.registry,
        )
        self._degraded = prometheus.Counter(
            "chat_moderator_degraded",
            "Messages that a better tier should have answered and could not.",
            registry=self.registry,
        )
        self._memo = prometheus.Gauge(
            "chat_moderator_memo_hit_ratio",
            "Share of words whose part in the n-gram scores was remembered, 0 to 1.",
            registry=self.registry,
        )
        self._reloads = prometheus.Counter(
            "chat_moderator_reloads", "Reloads of the configuration, by result.", ["result"], registry=self.registry
        )
        self._key_requests = prometheus.Counter(
            "chat_moderator_key_requests", "Requests, by the id of the key.", ["key"], registry=self.registry
        )
        self._key_texts = prometheus.Counter(
            "chat_moderator_key_texts",
            "Texts judged or taken in over the API, by the id of the key.",
            ["key"],
            registry=self.registry,
        )
        self._key_refusals = prometheus.Counter(
            "chat_moderator_key_refusals",
            "Requests beyond what a key may use, by its id and the limit: rate or quota.",
            ["key", "limit"],
            registry=self.registry,
        )
        self._accepted = prometheus.Counter(
            "chat_moderator_source_messages", "Messages taken in, by connection.", ["source"], registry=self.registry
        )
        self._restarts = prometheus.Counter(
            "chat_moderator_source_restarts",
            "Sources that failed and were run again, by connection.",
            ["source"],
            registry=self.registry,
        )
        self._gaps = prometheus.Counter(
            "chat_moderator_source_gaps",
            "Times that messages may have been missed, by connection.",
            ["source"],
            registry=self.registry,
        )
        self._problems = prometheus.Gauge(
            "chat_moderator_source_problems",
            "Problems that wait for the operator, by connection.",
            ["source"],
            registry=self.registry,
        )
        self._by_verdict = {verdict: self._messages.labels(verdict.value) for verdict in Verdict}
        self._recent: deque[tuple[float, int, int, float]] = deque(maxlen=SAMPLES)

    def decided(self, records: Sequence[Record]) -> None:
        """See `Observer.decided`."""
        counts = Counter(record.decision.verdict for record in records)
        for verdict, count in counts.items():
            self._by_verdict[verdict].inc(count)
        for tier, count in Counter(record.decision.assessment.tier for record in records).items():
            self._tiers.labels(tier).inc(count)
        if degraded := sum(record.decision.assessment.degraded for record in records):
            self._degraded.inc(degraded)
        oldest = min(record.received_at for record in records)
        latency = max(0.0, time.time() - oldest.timestamp())
        self._latency.observe(latency)
        self._recent.append((time.monotonic(), len(records), counts[Verdict.BLOCK], latency))

    def rule_failed(self, rule: str) -> None:
        """A configured rule failed at run time."""
        self._rules.labels(rule).inc()

    def accepted(self, source: str, count: int) -> None:
        """See `SourceObserver.accepted`."""
        self._accepted.labels(source).inc(count)

    def restarted(self, source: str) -> None:
        """See `SourceObserver.restarted`."""
        self._restarts.labels(source).inc()

    def missed(self, source: str) -> None:
        """See `SourceObserver.missed`."""
        self._gaps.labels(source).inc()

    def troubled(self, source: str, problems: int) -> None:
        """See `ConnectionObserver.troubled`."""
        self._problems.labels(source).set(problems)

    def reloaded(self, result: str) -> None:
        """The configuration was read again; `result` is `ok` or `refused`."""
        self._reloads.labels(result).inc()

    def key_used(self, key: str, *, requests: int = 0, texts: int = 0) -> None:
        """A key sent requests, or texts in them."""
        if requests:
            self._key_requests.labels(key).inc(requests)
        if texts:
            self._key_texts.labels(key).inc(texts)

    def key_refused(self, key: str, limit: str) -> None:
        """A request was beyond the `rate` or the `quota` of its key."""
        self._key_refusals.labels(key, limit).inc()

    def remembered(self, looked_up: int, learnt: int) -> None:
        """How many words the first tier has looked up, and how many of them it had to learn."""
        self._memo.set((looked_up - learnt) / looked_up if looked_up else 0.0)

    def measured(self, depth: Depth, outbox: int) -> None:
        """How full the queue and the outbox are now; what its broker does not tell is not a number."""
        gauges = {
            "waiting": (self._waiting, depth.waiting),
            "leased": (self._leased, depth.leased),
            "delayed": (self._delayed, depth.delayed),
            "dead": (self._dead, depth.dead),
            "oldest": (self._oldest, depth.oldest.total_seconds()),
        }
        for name, (gauge, value) in gauges.items():
            gauge.set(math.nan if name in depth.untold else value)
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
