"""The audit: the feed in order, answers once, reviews, retention, erasure, backup."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from chat_moderator.errors import ConfigError, ConflictError, NotFoundError, PermanentError
from chat_moderator.store.audit import Append, AppendOnce, Cursor, FindRecord, MoveCursor, RecordsAfter
from chat_moderator.store.database import FILE, Database, digest_of
from chat_moderator.store.dead_letters import DropDeadLetters, ListDeadLetters, RetryDeadLetters
from chat_moderator.store.intake import AskDepth, Buried, LeaseMessages, Put, Settle
from chat_moderator.store.outbox import DueIntentions, EndIntention, OutboxDepth
from chat_moderator.store.retention import Backup, Compact, EraseAuthor, Forget, restore
from chat_moderator.store.reviews import ListReviews, ResolveReview, ReviewState
from chat_moderator.testing.clock import FakeClock
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Author, Outcome, OutcomeState, Verdict


@pytest.fixture
async def database(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Database]:
    opened = Database(tmp_path, clock=clock)
    yield opened
    opened.close()


async def test_records_come_back_as_they_were_in_order_of_commit(database: Database) -> None:
    records = [
        make_record(make_message("ça va \N{PILE OF POO}", author=Author("u", "Zoë", ("vip",))), actions=("alert",)),
        make_record(make_message("bye"), Verdict.BLOCK),
    ]
    seqs = await database.execute(Append(records=tuple(records)))
    assert seqs == [1, 2]
    read = await database.ask(RecordsAfter(seq=0, limit=10))
    assert read == [msgspec.structs.replace(record, seq=seq) for record, seq in zip(records, seqs, strict=True)]
    assert await database.ask(RecordsAfter(seq=1, limit=10)) == read[1:]
    assert await database.ask(RecordsAfter(seq=0, limit=1)) == read[:1]
    assert await database.ask(RecordsAfter(seq=0, limit=10, flagged=True)) == read[1:]


async def test_a_client_sees_only_its_own_records(database: Database) -> None:
    await database.execute(
        Append(records=(make_record(make_message(client="a")), make_record(make_message(client="b"))))
    )
    (only,) = await database.ask(RecordsAfter(seq=0, limit=10, client="b"))
    assert only.message.client == "b"


async def test_the_same_message_gets_the_first_answer(database: Database) -> None:
    message = make_message("hello", id="once")
    first, new = await database.execute(AppendOnce(record=make_record(message), digest=digest_of("hello")))
    assert new
    other = make_record(message, Verdict.BLOCK)
    assert await database.execute(AppendOnce(record=other, digest=digest_of("hello"))) == (first, False)
    other = make_record(make_message("other", id="once"))
    with pytest.raises(ConflictError):
        await database.execute(AppendOnce(record=other, digest=digest_of("other")))


async def test_a_held_message_is_reviewed_once(database: Database) -> None:
    (seq,) = await database.execute(Append(records=(make_record(verdict=Verdict.HOLD),)))
    (review,) = await database.ask(ListReviews())
    assert (review.id, review.state) == (seq, ReviewState.OPEN)
    approve = ResolveReview(id=seq, state=ReviewState.APPROVED, reviewer="mod")
    assert (await database.execute(approve)).reviewer == "mod"
    assert (await database.execute(approve)).state is ReviewState.APPROVED
    with pytest.raises(ConflictError, match="is approved already"):
        await database.execute(ResolveReview(id=seq, state=ReviewState.DENIED, reviewer="other"))
    with pytest.raises(NotFoundError, match="there is no review 99"):
        await database.execute(ResolveReview(id=99, state=ReviewState.DENIED, reviewer="mod"))
    assert [each.action for each in await database.ask(DueIntentions(limit=9))] == ["release"]
    assert await database.ask(ListReviews()) == []


async def test_actions_wait_in_the_outbox_until_their_outcome_is_kept(database: Database) -> None:
    blocked = make_record(verdict=Verdict.BLOCK, actions=("delete", "reply"))
    (_, seq) = await database.execute(Append(records=(make_record(), blocked)))
    first, second = await database.ask(DueIntentions(limit=9))
    assert [(each.action, each.record.seq, each.superseded) for each in (first, second)] == [
        ("delete", seq, False),
        ("reply", seq, False),
    ]
    await database.execute(EndIntention(id=first.id, outcome=Outcome("delete", OutcomeState.DONE)))
    assert await database.ask(OutboxDepth()) == 1
    record = await database.ask(FindRecord(seq=seq))
    assert record is not None
    assert record.outcomes == (Outcome("delete", OutcomeState.DONE),)


async def test_an_action_knows_of_a_later_revision(database: Database) -> None:
    message = make_message("bad", id="edited")
    await database.execute(Append(records=(make_record(message, Verdict.BLOCK, actions=("delete",)),)))
    edit = msgspec.structs.replace(message, text="good", revision=1)
    await database.execute(Put(messages=(edit,), limit=10))
    (intention,) = await database.ask(DueIntentions(limit=9))
    assert intention.superseded


async def test_a_sink_finds_its_place_again(database: Database) -> None:
    assert await database.ask(Cursor(name="s")) == 0
    await database.execute(MoveCursor(name="s", seq=5))
    assert await database.ask(Cursor(name="s")) == 5


async def test_dead_letters_can_be_retried_and_dropped(database: Database) -> None:
    await database.execute(Put(messages=(make_message(channel="a"), make_message(channel="a")), limit=10))
    leased = await database.execute(LeaseMessages(limit=9, seconds=30))
    buried = tuple(Buried(seq=row.seq, reason="broken") for row in leased.rows)
    await database.execute(Settle(epoch=leased.epoch, lanes=leased.lanes, count=2, buried=buried))
    first, second = await database.ask(ListDeadLetters())
    assert first.reason == "broken"
    assert await database.execute(RetryDeadLetters(ids=(first.id,))) == 1
    assert (await database.ask(AskDepth())).waiting == 1
    with pytest.raises(NotFoundError, match=f"no dead letter {first.id}"):
        await database.execute(DropDeadLetters(ids=(second.id, first.id)))
    assert await database.execute(DropDeadLetters()) == 1
    assert await database.ask(ListDeadLetters()) == []


async def test_retention_keeps_what_is_still_needed(database: Database, clock: FakeClock) -> None:
    old = clock() - timedelta(days=100)
    kept = make_record(verdict=Verdict.HOLD)
    records = [msgspec.structs.replace(record, decided_at=old) for record in (make_record(), kept)]
    await database.execute(Append(records=(*records, make_record())))
    gone = await database.execute(Forget(before=(clock() - timedelta(days=90)).timestamp()))
    assert gone == 1
    assert [record.seq for record in await database.ask(RecordsAfter(seq=0, limit=9))] == [2, 3]


async def test_an_erased_author_is_in_no_file(database: Database, tmp_path: Path) -> None:
    canary = make_message("the canary sang", author=Author("gone", "Canary Name"), channel="a")
    other = make_message("something else", author=Author("stays", "Somebody"), channel="b")
    await database.execute(Append(records=(make_record(canary), make_record(other))))
    await database.execute(Put(messages=(canary, other), limit=10))
    leased = await database.execute(LeaseMessages(limit=9, seconds=30))
    again, letter = (row.seq for row in leased.rows)
    settle = Settle(
        epoch=leased.epoch, lanes=leased.lanes, count=2, again=(again,), delay=60.0, buried=(Buried(letter, "why"),)
    )
    await database.execute(settle)
    assert await database.execute(EraseAuthor(author_id="gone")) == 3  # audit, log, delayed or dead letter
    await database.ask(Compact())
    files = [path.read_bytes() for path in tmp_path.iterdir() if path.is_file()]
    assert not any(b"canary sang" in data or b"Canary Name" in data for data in files)
    assert any(b"Somebody" in data for data in files)
    (record, _) = await database.ask(RecordsAfter(seq=0, limit=9))
    assert (record.message.text, record.message.author) == ("", Author("gone"))


async def test_a_backup_restores(database: Database, tmp_path: Path) -> None:
    await database.execute(Append(records=(make_record(),)))
    copy = tmp_path / "copy.db"
    assert await database.ask(Backup(path=str(copy))) == copy.stat().st_size
    with pytest.raises(PermanentError, match="exists"):
        await database.ask(Backup(path=str(copy)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    restore(copy, elsewhere)
    restored = Database(elsewhere)
    records = await restored.ask(RecordsAfter(seq=0, limit=9))
    assert len(records) == 1
    restored.close()


def test_what_is_no_backup_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    Database(tmp_path).close()
    before = (tmp_path / FILE).read_bytes()
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"not a database" * 1000)
    for path, why in ((broken, "is not a database"), (tmp_path / "missing.db", "is not a file")):
        with pytest.raises(ConfigError, match=why):
            restore(path, tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


async def test_a_key_is_the_same_through_the_queue_and_beside_it(database: Database) -> None:
    message = make_message("text", id='q"uo\\te \N{PILE OF POO} \u2028 é', channel="c\ta")
    await database.execute(Put(messages=(message,), limit=10))
    with pytest.raises(ConflictError):
        await database.execute(AppendOnce(record=make_record(message), digest=digest_of("text")))
