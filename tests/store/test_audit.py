"""The audit in the embedded database, beyond the contract: with the queue, in files, backup."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from chat_moderator.errors import ConfigError, ConflictError, NotFoundError, PermanentError
from chat_moderator.store.audit import Append, AppendOnce, Cursor, MoveCursor, RecordsAfter
from chat_moderator.store.database import FILE, Database, digest_of
from chat_moderator.store.dead_letters import DropDeadLetters, ListDeadLetters, RetryDeadLetters
from chat_moderator.store.intake import AskDepth, Buried, LeaseMessages, Put, Settle
from chat_moderator.store.outbox import DueIntentions
from chat_moderator.store.retention import Backup, Compact, EraseAuthor, restore
from chat_moderator.testing.clock import FakeClock
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Author, Verdict


@pytest.fixture
async def database(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Database]:
    opened = Database(tmp_path, clock=clock)
    yield opened
    opened.close()


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
