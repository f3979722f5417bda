"""The outbox: what was decided happens, once, and its outcome is kept."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from chat_moderator.actions.alert import AlertAction
from chat_moderator.actions.delete import DeleteAction
from chat_moderator.actions.reply import ReplyAction
from chat_moderator.actions.timeout import TimeoutAction
from chat_moderator.actions.undo import UndoAction
from chat_moderator.errors import ForbiddenError, PermanentError, TransientError, UnauthorizedError
from chat_moderator.moderator.dry_run import DryRunEnforcer
from chat_moderator.moderator.outbox import Config, OutboxExecutor
from chat_moderator.protocols import Action
from chat_moderator.store.audit import Append, FindRecord
from chat_moderator.store.database import Database
from chat_moderator.store.intake import Put
from chat_moderator.store.outbox import DueIntentions, OutboxDepth, StartIntention
from chat_moderator.testing.clock import FakeClock
from chat_moderator.testing.doubles import JournalEnforcer
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Message, Outcome, OutcomeState, Verdict


@pytest.fixture
def platform() -> JournalEnforcer:
    return JournalEnforcer()


@pytest.fixture
def executor(database: Database, platform: JournalEnforcer) -> OutboxExecutor:
    actions: dict[str, Action] = {"delete": DeleteAction(), "reply": ReplyAction()}
    return OutboxExecutor(database, actions, {"test": platform}, JournalEnforcer(), config=Config(attempts=3))


async def block(database: Database, message: Message, *actions: str) -> int:
    record = make_record(message, Verdict.BLOCK, actions=actions, reply="no")
    (seq,) = await database.execute(Append(records=(record,)))
    return seq


async def outcomes(database: Database, seq: int) -> tuple[Outcome, ...]:
    record = await database.ask(FindRecord(seq=seq))
    assert record is not None
    return record.outcomes


async def run_until_empty(executor: OutboxExecutor, database: Database, clock: FakeClock) -> None:
    running = asyncio.create_task(executor.run())
    while await database.ask(OutboxDepth()):
        clock.advance(400)
        executor.wake()
    executor.stop()
    await running


async def test_actions_are_performed_and_their_outcomes_kept(
    executor: OutboxExecutor, database: Database, platform: JournalEnforcer, clock: FakeClock
) -> None:
    seq = await block(database, make_message(id="m"), "delete", "reply")
    await run_until_empty(executor, database, clock)
    assert sorted(platform.calls) == [("delete", "m"), ("reply", "m")]
    assert {(each.action, each.state) for each in await outcomes(database, seq)} == {
        ("delete", OutcomeState.DONE),
        ("reply", OutcomeState.DONE),
    }


async def test_a_passing_fault_is_tried_again(
    executor: OutboxExecutor, database: Database, platform: JournalEnforcer, clock: FakeClock
) -> None:
    platform.errors = [TransientError("429", retry_after=timedelta(seconds=7)), TransientError("503")]
    seq = await block(database, make_message(id="m"), "delete")
    await run_until_empty(executor, database, clock)
    assert platform.calls == [("delete", "m")]
    assert [each.state for each in await outcomes(database, seq)] == [OutcomeState.DONE]


async def test_nothing_is_called_before_retry_after(
    executor: OutboxExecutor, database: Database, platform: JournalEnforcer, clock: FakeClock
) -> None:
    platform.errors = [TransientError("429", retry_after=timedelta(seconds=7))]
    await block(database, make_message(), "delete")
    running = asyncio.create_task(executor.run())
    due = await database.ask(DueIntentions(limit=1))
    while platform.errors or due:
        due = await database.ask(DueIntentions(limit=1))
    clock.advance(6.9)
    due = await database.ask(DueIntentions(limit=1))
    assert due == []
    clock.advance(0.2)
    due = await database.ask(DueIntentions(limit=1))
    assert len(due) == 1
    executor.stop()
    await running


async def test_what_can_never_be_done_has_failed_with_the_reason(
    executor: OutboxExecutor, database: Database, platform: JournalEnforcer, clock: FakeClock
) -> None:
    platform.errors = [PermanentError("403: no permission")]
    seq = await block(database, make_message(), "delete")
    await run_until_empty(executor, database, clock)
    assert await outcomes(database, seq) == (Outcome("delete", OutcomeState.FAILED, "403: no permission"),)


async def test_what_an_operator_has_to_mend_is_told_until_it_is(
    database: Database, platform: JournalEnforcer, clock: FakeClock
) -> None:
    told: list[tuple[str, str]] = []
    actions: dict[str, Action] = {"delete": DeleteAction(), "timeout": TimeoutAction()}
    executor = OutboxExecutor(
        database, actions, {"test": platform}, JournalEnforcer(), report=lambda *it: told.append(it)
    )
    message = make_message(id="m", channel="here")
    refused = UnauthorizedError("a new token is needed", retry_after=timedelta(minutes=5))
    platform.errors = [refused, ForbiddenError("a right is needed")]
    await block(database, message, "delete")
    await run_until_empty(executor, database, clock)
    assert told == [("access", "a new token is needed"), ("delete here", "a right is needed")]
    executor = OutboxExecutor(
        database, actions, {"test": platform}, JournalEnforcer(), report=lambda *it: told.append(it)
    )
    await block(database, make_message(channel="here"), "delete")
    await run_until_empty(executor, database, clock)
    assert told[2:] == [("access", ""), ("delete here", "")]
    platform.errors = [ForbiddenError("an administrator's")]  # which says nothing of the connection
    executor = OutboxExecutor(
        database, actions, {"test": platform}, JournalEnforcer(), report=lambda *it: told.append(it)
    )
    await block(database, make_message(channel="here"), "timeout")
    await run_until_empty(executor, database, clock)
    assert len(told) == 4


async def test_it_gives_up_in_the_end(
    executor: OutboxExecutor, database: Database, platform: JournalEnforcer, clock: FakeClock
) -> None:
    platform.errors = [TransientError("503") for _ in range(10)]
    seq = await block(database, make_message(), "delete")
    await run_until_empty(executor, database, clock)
    assert await outcomes(database, seq) == (Outcome("delete", OutcomeState.FAILED, "given up after 3 tries: 503"),)


async def test_a_reply_begun_before_a_crash_is_uncertain_and_not_repeated(
    executor: OutboxExecutor, database: Database, platform: JournalEnforcer, clock: FakeClock
) -> None:
    seq = await block(database, make_message(), "reply")
    (intention,) = await database.ask(DueIntentions(limit=1))
    await database.execute(StartIntention(id=intention.id))
    await run_until_empty(executor, database, clock)
    assert platform.calls == []
    assert [each.state for each in await outcomes(database, seq)] == [OutcomeState.UNCERTAIN]


async def test_an_edited_message_is_not_deleted_for_its_old_text(
    executor: OutboxExecutor, database: Database, platform: JournalEnforcer, clock: FakeClock
) -> None:
    message = make_message("bad")
    seq = await block(database, message, "delete")
    await database.execute(Put(messages=(msgspec.structs.replace(message, text="fine", revision=1),), limit=10))
    await run_until_empty(executor, database, clock)
    assert platform.calls == []
    assert [each.state for each in await outcomes(database, seq)] == [OutcomeState.SKIPPED]


async def test_an_edit_is_found_whatever_its_revision(
    executor: OutboxExecutor, database: Database, platform: JournalEnforcer, clock: FakeClock
) -> None:
    """Platforms number edits by time; another message whose id begins alike is another message."""
    message, longer = make_message("bad", id="m1"), make_message("bad", id="m11")
    edited = msgspec.structs.replace(message, text="fine", revision=1_700_000_000_000)
    seqs = [await block(database, each, "delete") for each in (message, longer)]
    await database.execute(Put(messages=(edited,), limit=10))
    await run_until_empty(executor, database, clock)
    assert platform.calls == [("delete", "m11")]
    assert [(await outcomes(database, seq))[0].state for seq in seqs] == [OutcomeState.SKIPPED, OutcomeState.DONE]


async def test_waiting_as_the_platform_asks_is_no_failed_try(
    executor: OutboxExecutor, database: Database, platform: JournalEnforcer, clock: FakeClock
) -> None:
    platform.errors = [TransientError("429", retry_after=timedelta(seconds=7)) for _ in range(20)]
    seq = await block(database, make_message(id="m"), "delete")
    await run_until_empty(executor, database, clock)
    assert [each.state for each in await outcomes(database, seq)] == [OutcomeState.DONE]


async def test_a_dry_run_alerts_and_leaves_the_rest_undone(
    database: Database, platform: JournalEnforcer, clock: FakeClock
) -> None:
    actions: dict[str, Action] = {
        "alert": AlertAction(),
        "delete": DeleteAction(),
        "reply": ReplyAction(),
        "timeout": TimeoutAction(),
        "undo": UndoAction(),
    }
    platform.moderators = True
    executor = OutboxExecutor(database, actions, {}, DryRunEnforcer(platform))
    seq = await block(database, make_message(id="m"), *actions)
    await run_until_empty(executor, database, clock)
    assert platform.calls == [("alert", "m")]
    states = {each.action: each.state for each in await outcomes(database, seq)}
    assert states.pop("alert") is OutcomeState.DONE
    assert states.pop("undo") is OutcomeState.DONE  # there was nothing to undo
    assert set(states.values()) == {OutcomeState.SKIPPED}


async def test_what_was_done_is_undone_and_what_cannot_be_is_said(
    executor: OutboxExecutor, database: Database, platform: JournalEnforcer, clock: FakeClock
) -> None:
    done = tuple(Outcome(action, OutcomeState.DONE) for action in ("delete", "timeout", "reply"))
    record = msgspec.structs.replace(make_record(make_message(id="m"), Verdict.BLOCK), outcomes=done)
    platform.errors = [PermanentError("it is gone for good")]
    outcome = await UndoAction().perform(record, platform)
    assert platform.calls == [("undo timeout", "m")]
    assert outcome == Outcome("undo", OutcomeState.DONE, "delete: it is gone for good")


async def test_a_platform_that_does_not_answer_delays_no_other(database: Database, platform: JournalEnforcer) -> None:
    """Each connection has an executor of its own."""

    class Stuck(JournalEnforcer):
        async def delete(self, message: Message, *, reason: str) -> None:
            await asyncio.Event().wait()

    actions: dict[str, Action] = {"delete": DeleteAction()}
    config = Config(parallel=2)
    stuck = OutboxExecutor(database, actions, {}, Stuck(), only="stuck", config=config)
    others = OutboxExecutor(database, actions, {}, platform, without=("stuck",), config=config)
    for number in range(10):
        await block(database, make_message(id=f"s{number}", client="stuck"), "delete")
    await block(database, make_message(id="m", client="quick"), "delete")
    running = [asyncio.create_task(each.run()) for each in (stuck, others)]
    while not platform.calls:
        await asyncio.sleep(0)
    assert platform.calls == [("delete", "m")]
    for task in running:
        task.cancel()
    for task in stuck._running.values():
        task.cancel()
    await asyncio.gather(*running, *stuck._running.values(), return_exceptions=True)
