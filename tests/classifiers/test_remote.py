"""A deployed function as a classifier, and as what a worker drains a queue into."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chat_moderator.app import build_policy
from chat_moderator.classifiers.ngram import NgramClassifier
from chat_moderator.classifiers.remote import Config, RemoteClassifier
from chat_moderator.config import Settings
from chat_moderator.errors import ConfigError, PermanentError, TransientError
from chat_moderator.functions.cerebrium import CerebriumFunction
from chat_moderator.moderator.cascade import Cascade
from chat_moderator.moderator.moderator import Moderator
from chat_moderator.moderator.worker import Config as WorkerConfig
from chat_moderator.moderator.worker import Worker
from chat_moderator.queues.memory import MemoryQueue
from chat_moderator.store.database import Database
from chat_moderator.store.stored_audit import StoredAudit
from chat_moderator.testing.factories import make_message
from chat_moderator.types import LABELS, Record, Verdict
from tests.running import free_port
from tests.servers.cerebrium import TOKEN, Platform, deployed

BUSY: tuple[int, bytes, dict[str, str]] = (503, b"no room", {})


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> CerebriumFunction:
    return CerebriumFunction(tmp_path_factory.mktemp("function"), {})


@pytest.fixture
def platform(function: CerebriumFunction) -> Iterator[Platform]:
    with deployed(function.run) as served:
        yield served


@contextlib.contextmanager
def remote(url: str, pauses: list[float] | None = None, **settings: Any) -> Iterator[RemoteClassifier]:
    settings = {"token": TOKEN} | settings
    classifier = RemoteClassifier(Config(url=url, **settings), pause=([] if pauses is None else pauses).append)
    yield classifier
    classifier.close()


@pytest.mark.parametrize("wrapped", [True, False])
def test_it_scores_as_the_function_does(platform: Platform, wrapped: bool) -> None:
    platform.wrapped = wrapped
    texts = ["hello", "you pathetic idiot", "", "schönes Spiel"] * 40
    with remote(platform.url, batch=7) as classifier:
        scores = classifier.score(texts)
    assert classifier.labels == LABELS
    assert np.allclose(scores, NgramClassifier().score(texts), atol=1e-4)
    assert max(len(call["messages"]) for call in platform.calls) == 7
    assert len(platform.calls) == 23


def test_a_busy_function_is_asked_again_and_its_wait_is_kept(platform: Platform) -> None:
    platform.answers = [BUSY, (429, b"", {"retry-after": "1"})]
    pauses: list[float] = []
    with remote(platform.url, pauses) as classifier:
        assert classifier.score(["you idiot"]).max() > 0.5
    assert pauses == [0.4, 1.0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (BUSY, "busy or failing: 503"),
        ((200, b"<html>", {}), "of another form"),
        ((200, b'{"result": {"results": []}}', {}), "not about what was asked"),
        ((200, b"[" * 100_000, {}), "of another form"),
        ((200, b'{"run_id": "1"}', {}), "not about what was asked"),
        ((200, b'{"results": [{"id": "0", "scores": {"toxicity": 7}}]}', {}), "of another form"),
        ((200, b'{"results": [{"id": "1", "scores": {}}]}', {}), "not about what was asked"),
        ((302, b"", {"location": "http://127.0.0.1:1/"}), "answers 302: check"),
        ((403, b"", {}), "answers 403: check"),
        ((429, b"", {"retry-after": "600"}), "429"),
        ((429, b"", {"retry-after": "soon"}), "429"),
    ],
)
def test_what_is_no_answer_is_asked_for_again_later(
    platform: Platform, answer: tuple[int, bytes, dict[str, str]], said: str
) -> None:
    platform.answers = [answer] * 3
    with remote(platform.url) as classifier, pytest.raises(TransientError, match=said):
        classifier.score(["hello"])


def test_a_wrong_token_says_what_to_check_and_is_not_repeated(platform: Platform) -> None:
    with (
        remote(platform.url, token="wrong") as classifier,
        pytest.raises(TransientError, match=r"401: check classifiers\.remote\.url and token"),
    ):
        classifier.score(["hello"])
    assert platform.calls == []


def test_texts_that_the_function_refuses_are_to_blame_themselves(platform: Platform) -> None:
    platform.answers = [(400, b'{"detail": "no"}', {})]
    with remote(platform.url) as classifier, pytest.raises(PermanentError, match="refuses these texts"):
        classifier.score(["hello"])


def test_nobody_there_is_for_later() -> None:
    with (
        remote(f"http://127.0.0.1:{free_port()}/run") as classifier,
        pytest.raises(TransientError, match="cannot be reached: ConnectError"),
    ):
        classifier.score(["hello"])


def test_a_function_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/run"
        with remote(url, timeout=0.05) as classifier, pytest.raises(TransientError, match="ReadTimeout"):
            classifier.score(["hello"])


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"url": "ftp://x"}, "url"),
        ({"timeout": 0.0}, "timeout"),
        ({"batch": 0}, "batch"),
        ({"concurrency": -1}, "concu"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError, match=rf"classifiers\.remote\.{place}"):
        RemoteClassifier(Config(**({"url": "http://127.0.0.1/run"} | settings)))


class Seen:
    """Sees what a worker decided, and tells when it is all."""

    def __init__(self, count: int) -> None:
        self.records: list[Record] = []
        self.complete = asyncio.Event()
        self._count = count

    def decided(self, records: list[Record]) -> None:
        self.records += records
        if len(self.records) >= self._count:
            self.complete.set()


@contextlib.asynccontextmanager
async def draining(platform: Platform, directory: Path, queue: MemoryQueue, seen: Any) -> Any:
    store = Database(directory)
    with remote(platform.url, batch=16) as classifier:
        moderator = Moderator(Cascade([("remote", classifier)]), build_policy(Settings()))
        config = WorkerConfig(batch=64, parallel=1, attempts=2, back_off=0.01)
        worker = Worker(queue, moderator, StoredAudit(store), seen, config=config)
        running = asyncio.create_task(worker.run())
        yield worker
        worker.stop()
        await running
        await moderator.aclose()
    await asyncio.to_thread(store.close)


async def test_a_worker_drains_a_queue_into_a_function(platform: Platform, tmp_path: Path) -> None:
    queue, seen = MemoryQueue(), Seen(100)
    await queue.put(
        [make_message(id=str(number), text="you idiot" if number % 2 else "hello") for number in range(100)]
    )
    async with draining(platform, tmp_path, queue, seen):
        await asyncio.wait_for(seen.complete.wait(), 30)
    by_id = {record.message.id: record.decision for record in seen.records}
    assert len(by_id) == len(seen.records) == 100
    assert {by_id[str(number)].verdict for number in range(1, 100, 2)} == {Verdict.BLOCK}
    assert {by_id[str(number)].verdict for number in range(0, 100, 2)} == {Verdict.ALLOW}
    assert by_id["0"].assessment.tier == "remote"


async def test_while_the_function_is_away_nothing_is_buried_and_no_try_is_lost(
    platform: Platform, tmp_path: Path
) -> None:
    queue, seen = MemoryQueue(), Seen(40)
    platform.answers = [BUSY] * 60  # many more than tries
    await queue.put([make_message(id=str(number), text="hello") for number in range(40)])
    async with draining(platform, tmp_path, queue, seen):
        await asyncio.wait_for(seen.complete.wait(), 30)
    assert [record.message.id for record in seen.records] == [str(number) for number in range(40)]
    assert {record.attempts for record in seen.records} == {1}
    assert (await queue.depth()).dead == 0


async def test_the_text_that_the_function_refuses_is_buried_and_its_neighbours_are_judged(
    platform: Platform, tmp_path: Path
) -> None:
    answered = platform.run

    def picky(**body: Any) -> dict[str, Any]:
        if any(message["text"] == "poison" for message in body["messages"]):
            return {"status_code": 400, "detail": "no"}
        return answered(**body)

    platform.run = picky
    queue, seen = MemoryQueue(), Seen(19)
    texts = ["hello"] * 10 + ["poison"] + ["you idiot"] * 9
    await queue.put([make_message(id=str(number), text=text) for number, text in enumerate(texts)])
    async with draining(platform, tmp_path, queue, seen):
        await asyncio.wait_for(seen.complete.wait(), 30)
        while not (await queue.depth()).dead:
            await asyncio.sleep(0)
    assert len(seen.records) == 19
    assert (await queue.depth()).dead == 1


async def test_a_worker_that_is_told_to_stop_does_not_wait_for_the_function(platform: Platform, tmp_path: Path) -> None:
    queue, seen = MemoryQueue(), Seen(1)
    platform.answers = [BUSY] * 10_000
    await queue.put([make_message(id="1", text="hello")])
    async with draining(platform, tmp_path, queue, seen):
        while not platform.calls:
            await asyncio.sleep(0)
    assert seen.records == []
    depth = await queue.depth()
    assert depth.waiting + depth.leased + depth.delayed == 1
    assert await queue.lease(1, wait=timedelta()) is None
