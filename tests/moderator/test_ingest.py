"""The runner of a source: it takes in what is read, starts again what failed, and shows what an operator must mend."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from chat_moderator.errors import OverloadedError, PermanentError, TransientError
from chat_moderator.moderator.ingest import Ingest
from chat_moderator.protocols import Intake
from chat_moderator.queues.embedded import Config, EmbeddedQueue
from chat_moderator.store.audit import Append, FindRecord
from chat_moderator.store.database import Database
from chat_moderator.store.outbox import DueIntentions
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Verdict


class Counts:
    """Implements `SourceObserver`."""

    def __init__(self) -> None:
        self.messages = self.restarts = self.gaps = 0

    def accepted(self, source: str, count: int) -> None:
        self.messages += count

    def restarted(self, source: str) -> None:
        self.restarts += 1

    def missed(self, source: str) -> None:
        self.gaps += 1


class Scripted:
    """A source whose runs are given, one after another."""

    def __init__(self, *runs: Callable[[Intake], Awaitable[None]]) -> None:
        self.runs = list(runs)

    async def run(self, intake: Intake) -> None:
        await self.runs.pop(0)(intake)

    async def aclose(self) -> None:
        pass


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def rests() -> list[float]:
    return []


@pytest.fixture
def queue(database: Database) -> EmbeddedQueue:
    return EmbeddedQueue(database, Config(capacity=3))


@pytest.fixture
def ingest(database: Database, queue: EmbeddedQueue, counts: Counts, rests: list[float]) -> Ingest:
    async def rest(seconds: float) -> None:
        rests.append(seconds)

    return Ingest("here", Scripted(), queue, database, counts, rest=rest)


async def test_messages_carry_the_connections_name(ingest: Ingest, queue: EmbeddedQueue, counts: Counts) -> None:
    await ingest.accept([make_message(client="forged")])
    lease = await queue.lease(1, wait=timedelta())
    assert lease is not None
    assert lease.messages[0].client == "here"
    assert counts.messages == 1


async def test_a_failed_source_is_run_again_with_growing_pauses(
    ingest: Ingest, counts: Counts, rests: list[float]
) -> None:
    async def down(intake: Intake) -> None:
        raise TransientError("no route")

    async def limited(intake: Intake) -> None:
        raise TransientError("429", retry_after=timedelta(seconds=90))

    async def broken(intake: Intake) -> None:
        raise RuntimeError("a bug")

    async def good(intake: Intake) -> None:
        assert len(ingest.problems) == 1
        intake.connected()
        await intake.accept([make_message()])

    ingest.source = Scripted(down, down, limited, broken, good)
    await ingest.run()
    assert rests == [2.0, 4.0, 90.0, 16.0]
    assert (counts.restarts, counts.messages) == (4, 1)
    assert ingest.problems == ()


async def test_what_an_operator_must_mend_is_shown_and_tried_again_later(ingest: Ingest, rests: list[float]) -> None:
    seen: list[tuple[str, ...]] = []

    async def refused(intake: Intake) -> None:
        raise PermanentError("the token is refused: copy a new one")

    async def mended(intake: Intake) -> None:
        seen.append(ingest.problems)
        intake.connected()
        seen.append(ingest.problems)

    ingest.source = Scripted(refused, mended)
    await ingest.run()
    assert rests == [300.0]
    assert seen == [("here: the token is refused: copy a new one",), ()]


async def test_a_full_queue_makes_a_source_wait_and_refuses_a_webhook(
    ingest: Ingest, queue: EmbeddedQueue, rests: list[float]
) -> None:
    await ingest.accept([make_message() for _ in range(3)])
    with pytest.raises(OverloadedError):
        await ingest.accept([make_message()], delivery="d1")

    async def drain(seconds: float) -> None:
        rests.append(seconds)
        lease = await queue.lease(10, wait=timedelta())
        if lease is not None:
            await lease.ack()

    ingest._rest = drain
    await ingest.accept([make_message()])
    assert rests
    await ingest.accept([make_message()], delivery="d1")  # what was refused may come again


async def test_one_message_that_cannot_be_kept_takes_no_other_with_it(ingest: Ingest, queue: EmbeddedQueue) -> None:
    await ingest.accept([make_message("first", id="1")])
    await ingest.accept([make_message("another", id="1"), make_message("good", id="2")])
    lease = await queue.lease(10, wait=timedelta())
    assert lease is not None
    assert sorted(message.text for message in lease.messages) == ["first", "good"]


async def test_fifty_copies_of_a_delivery_are_one(ingest: Ingest, queue: EmbeddedQueue, counts: Counts) -> None:
    message = make_message()
    await asyncio.gather(*(ingest.accept([message], delivery="d1") for _ in range(50)))
    assert counts.messages == 1
    assert (await queue.depth()).waiting == 1


async def test_a_gap_is_counted_logged_and_told(
    ingest: Ingest, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    assert ingest.gap_told == ""
    ingest.gap("an hour is missing")
    ingest.gap("another is missing")
    assert counts.gaps == 2
    assert caplog.messages[-1] == "source here may have missed messages: another is missing"
    told, _, why = ingest.gap_told.rpartition("Z: ")
    assert told.startswith("here: 2 since the start, the last 20")
    assert why == "another is missing"
    assert ingest.problems == ()


async def test_thousands_of_problems_are_shown_in_part(ingest: Ingest) -> None:
    for number in range(5000):
        ingest.report(f"channel {number}", f"channel {number} cannot be read: give the bot a right there")
    assert len(ingest.problems) == 51
    assert ingest.problems[-1] == "here: 4950 more problems, each in the log"
    assert ingest.troubles == 5000
    ingest.report("token", "the same")
    ingest.report("running", "the same")
    for number in range(5000):
        ingest.report(f"channel {number}", "")
    assert ingest.problems == ("here: the same",)


async def decided(database: Database, client: str, verdict: Verdict) -> int:
    (seq,) = await database.execute(Append(records=(make_record(make_message(client=client), verdict),)))
    return seq


@pytest.mark.parametrize(
    ("verdict", "approve", "follows"),
    [
        (Verdict.HOLD, True, ["release"]),
        (Verdict.HOLD, False, ["delete"]),
        (Verdict.BLOCK, True, ["undo"]),
        (Verdict.BLOCK, False, []),
    ],
)
async def test_a_moderators_word_is_kept_and_followed(
    ingest: Ingest, database: Database, verdict: Verdict, approve: bool, follows: list[str]
) -> None:
    seq = await decided(database, "here", verdict)
    said = await ingest.resolve(seq, approve=approve, moderator="mia (7)")
    assert "mia (7)" in said
    assert await ingest.resolve(seq, approve=approve, moderator="eve (8)") == said
    assert "already" in await ingest.resolve(seq, approve=not approve, moderator="eve (8)")
    assert [each.action for each in await database.ask(DueIntentions(limit=9, only="here"))] == follows
    assert await database.ask(DueIntentions(limit=9, only="there")) == []


@pytest.mark.parametrize("verdict", [Verdict.ALLOW, None])
async def test_nothing_is_done_about_what_was_allowed_or_never_was(
    ingest: Ingest, database: Database, verdict: Verdict | None
) -> None:
    seq = 99 if verdict is None else await decided(database, "here", verdict)
    said = await ingest.resolve(seq, approve=True, moderator="mia")
    assert "no" in said.lower()
    assert await database.ask(DueIntentions(limit=9)) == []


async def test_nobody_judges_the_messages_of_another_connection(ingest: Ingest, database: Database) -> None:
    seq = await decided(database, "elsewhere", Verdict.BLOCK)
    assert await ingest.resolve(seq, approve=True, moderator="mia") == f"There is no record {seq} here."
    assert await database.ask(DueIntentions(limit=9)) == []
    assert await database.ask(FindRecord(seq=seq)) is not None


async def test_a_bookmark_is_kept_for_each_connection(ingest: Ingest, database: Database, counts: Counts) -> None:
    assert await ingest.bookmark("newest") == ""
    await ingest.keep("newest", "123")
    assert await ingest.bookmark("newest") == "123"
    other = Ingest("other", Scripted(), EmbeddedQueue(database), database, counts)
    assert await other.bookmark("newest") == ""
