"""The web chat: judged before it is shown, decided once, held when nobody can say."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from chat_moderator.errors import ConflictError
from chat_moderator.moderator.cascade import Cascade
from chat_moderator.moderator.moderator import Moderator
from chat_moderator.policy.config import PolicyConfig
from chat_moderator.policy.thresholds import ThresholdPolicy
from chat_moderator.sources.webchat import Config, WebChat, message_of
from chat_moderator.store.audit import AppendOnce, RecordsAfter
from chat_moderator.store.database import Database, digest_of
from chat_moderator.store.reviews import ListReviews, ResolveReview, ReviewState
from chat_moderator.testing.doubles import CountingObserver, WordClassifier
from chat_moderator.types import Author, Message, Record, Verdict, now


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def classifier() -> WordClassifier:
    return WordClassifier()


@pytest.fixture
def observer() -> CountingObserver:
    return CountingObserver()


@pytest.fixture
def config() -> Config:
    return Config(deadline=30.0)


@pytest.fixture
async def chat(
    store: Database, classifier: WordClassifier, observer: CountingObserver, config: Config
) -> AsyncIterator[WebChat]:
    policy = ThresholdPolicy(PolicyConfig(), actions=("delete", "hold", "reply"))
    moderator = Moderator(Cascade([("words", classifier)]), policy)
    yield WebChat(store, moderator.moderate, observer.decided, config=config)
    classifier.answer.set()
    await moderator.aclose()


def message(text: str, identifier: str = "m1", name: str = "ada") -> Message:
    return message_of("lobby", identifier, Author("u1", name), text)


async def records(store: Database) -> list[Record]:
    return await store.ask(RecordsAfter(seq=0, limit=100))


async def test_what_is_fine_is_shown_to_all_and_what_is_not_to_nobody(chat: WebChat) -> None:
    with chat.listen("lobby") as window, chat.listen("elsewhere") as other:
        blocked = await chat.post(message("so bad", "m1"))
        allowed = await chat.post(message("hello", "m2"))
        assert (blocked.decision.verdict, allowed.decision.verdict) == (Verdict.BLOCK, Verdict.ALLOW)
        shown = window.get_nowait()
        assert shown is not None
        assert (shown.text, shown.seq) == ("hello", allowed.seq)
        assert window.empty()
        assert other.empty()
    assert [each.text for each in await chat.history("lobby")] == ["hello"]


async def test_the_same_id_again_gets_the_same_answer_and_is_shown_once(
    chat: WebChat, store: Database, observer: CountingObserver
) -> None:
    with chat.listen("lobby") as window:
        first, again = await asyncio.gather(chat.post(message("hello")), chat.post(message("hello")))
        assert first == again == await chat.post(message("hello"))
        assert window.qsize() == 1
    assert len(await records(store)) == observer.count == 1
    with pytest.raises(ConflictError):
        await chat.post(message("other"))


async def test_a_name_is_judged_as_well(chat: WebChat) -> None:
    record = await chat.post(message("hello", name="bad_boy"))
    assert record.decision.verdict is Verdict.BLOCK
    assert record.decision.rule == "name: threshold:toxicity"
    assert record.decision.assessment.spans == ()


@pytest.mark.parametrize("config", [Config(deadline=0.05)])
async def test_no_verdict_in_time_holds_once_whatever_comes_later(
    chat: WebChat, store: Database, classifier: WordClassifier
) -> None:
    record = await chat.post(message("slow"))
    assert record.decision.verdict is Verdict.HOLD
    assert record.decision.rule == "on_failure: no verdict in time"
    assert record.decision.assessment.degraded
    classifier.answer.set()
    assert await chat.post(message("slow")) == record
    assert len(await records(store)) == 1


@pytest.mark.parametrize("text", ["poison"])
async def test_a_classifier_that_fails_holds(chat: WebChat, text: str) -> None:
    record = await chat.post(message(text))
    assert (record.decision.verdict, record.decision.rule) == (Verdict.HOLD, "on_failure: no verdict")


async def test_an_approved_message_is_shown_then(chat: WebChat, store: Database) -> None:
    record = await chat.post(message("odd"))
    assert record.decision.verdict is Verdict.HOLD
    assert await chat.history("lobby") == []
    (review,) = await store.ask(ListReviews())
    await store.execute(ResolveReview(id=review.id, state=ReviewState.APPROVED, reviewer="mod"))
    with chat.listen("lobby") as window:
        await chat.release(record.message)
        shown = window.get_nowait()
    assert shown is not None
    assert shown.text == "odd"
    assert [each.text for each in await chat.history("lobby")] == ["odd"]


async def test_what_another_client_had_released_is_not_shown_in_a_room_of_the_same_name(
    chat: WebChat, store: Database
) -> None:
    foreign = Message("1", "odd", client="3fa9c2e1b05d", channel="lobby")
    decision = (await chat.post(message("odd"))).decision
    kept = Record(foreign, decision, now(), now())
    await store.execute(AppendOnce(record=kept, digest=digest_of(foreign.text)))
    with chat.listen("lobby") as window:
        await chat.release(foreign)
        assert window.empty()


async def test_a_window_that_does_not_read_is_asked_to_connect_again(chat: WebChat) -> None:
    with chat.listen("lobby") as window:
        for number in range(300):
            await chat.post(message("hello", f"m{number}"))
        assert window.get_nowait() is None


async def test_judging_does_not_stop_the_loop(store: Database, observer: CountingObserver) -> None:
    started, go_on = threading.Event(), asyncio.Event()

    async def moderate(messages: Sequence[Message]) -> list[None]:
        started.set()
        await go_on.wait()
        raise RuntimeError("never decided")

    chat = WebChat(store, moderate, observer.decided, config=Config(deadline=30.0))  # type: ignore[arg-type]
    posting = asyncio.create_task(chat.post(message("hello")))
    while not started.is_set():
        await asyncio.sleep(0)
    go_on.set()
    assert (await posting).decision.verdict is Verdict.HOLD
