"""Cloud Monitoring as it answers, on loopback: how much waits in Pub/Sub, and what is said where nobody tells."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import generate_latest

from chat_moderator.queues.pubsub_depth import UNTOLD, MonitoredDepth
from chat_moderator.sinks.metrics import Metrics

PROJECT = "test-project"


class Monitoring(ThreadingHTTPServer):
    """Answers `timeSeries.list` for one metric of one subscription."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.values: dict[tuple[str, str], list[int]] = {}
        self.status = 200
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Answer(BaseHTTPRequestHandler):
    server: Monitoring

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        assert url.path == f"/v3/projects/{PROJECT}/timeSeries"
        begin, end = (datetime.fromisoformat(query[f"interval.{edge}Time"]) for edge in ("start", "end"))
        assert begin + timedelta(minutes=5) <= end <= datetime.now(UTC)
        _, metric, _, subscription, _ = query["filter"].split('"')
        key = metric.removeprefix("pubsub.googleapis.com/subscription/"), subscription
        points = [{"value": {"int64Value": str(value)}} for value in self.server.values.get(key, ())]
        body: Any = {"timeSeries": [{"points": points}]} if points else {}
        self.server.asked += 1
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        """Is silent."""


@pytest.fixture
def monitoring() -> Iterator[Monitoring]:
    server = Monitoring()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def test_the_latest_measurements_are_the_depth_and_are_believed_for_a_while(monitoring: Monitoring) -> None:
    monitoring.values = {
        ("num_undelivered_messages", "chat"): [1200, 90],
        ("num_undelivered_messages", "chat-retries"): [3],
        ("num_undelivered_messages", "chat-dead"): [2],
        ("oldest_unacked_message_age", "chat"): [45, 10],
    }
    queue = MonitoredDepth(monitoring.url, PROJECT, "chat")
    depth = await queue.depth()
    assert (depth.waiting, depth.delayed, depth.dead, depth.oldest) == (1200, 3, 2, timedelta(seconds=45))
    assert depth.untold == ("leased",)
    assert await queue.depth() is depth
    assert monitoring.asked == 4


async def test_what_was_never_measured_is_not_told_as_zero(monitoring: Monitoring) -> None:
    monitoring.values = {("num_undelivered_messages", "chat"): [7]}
    depth = await MonitoredDepth(monitoring.url, PROJECT, "chat").depth()
    assert depth.waiting == 7
    assert set(depth.untold) == {"leased", "delayed", "dead", "oldest"}


async def test_a_refusal_is_told_once_and_nothing_is_made_up(
    monitoring: Monitoring, caplog: pytest.LogCaptureFixture
) -> None:
    monitoring.status = 403
    queue = MonitoredDepth(monitoring.url, PROJECT, "chat")
    assert await queue.depth() == await queue.depth() == UNTOLD
    assert len([record for record in caplog.records if "does not tell how much waits" in record.message]) == 1


def test_the_metrics_of_what_is_not_told_are_not_numbers() -> None:
    metrics = Metrics()
    metrics.measured(UNTOLD, 0)
    text = generate_latest(metrics.registry).decode()
    for name in ("queue_waiting", "queue_leased", "queue_delayed", "dead_letters", "queue_oldest_seconds"):
        assert f"chat_moderator_{name} NaN" in text
