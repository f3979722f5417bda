"""The embedded database: one owner, all or nothing, migrations, a full disk."""

import asyncio
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from chat_moderator.errors import ConfigError, ConflictError, OverloadedError
from chat_moderator.store.audit import Append, LastSeq
from chat_moderator.store.database import FILE, Database
from chat_moderator.store.intake import AskDepth, Put
from chat_moderator.store.migrations import MIGRATIONS, migrate
from chat_moderator.store.retention import CheckIntegrity
from chat_moderator.testing.factories import make_message, make_record


def put(*messages: object) -> Put:
    return Put(messages=tuple(messages), limit=10_000)  # type: ignore[arg-type]


async def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    database = Database(tmp_path)
    code = (
        "import sys; from pathlib import Path; from chat_moderator.store.database import Database\n"
        "Database(Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    database.close()
    assert done.returncode != 0
    assert "is in use by another process (pid" in done.stderr


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere is not a directory"):
        Database(tmp_path / "nowhere")


def test_a_file_that_is_no_database_is_named_and_the_lock_given_back(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is not a database at all" * 100)
    for _ in range(2):
        with pytest.raises(ConfigError, match="cannot be opened as a database"):
            Database(tmp_path)


async def test_commands_of_one_commit_fail_alone(tmp_path: Path) -> None:
    database = Database(tmp_path)
    first, other = make_message("one", id="a"), make_message("two", id="a")
    results = await asyncio.gather(
        database.execute(put(first)),
        database.execute(put(make_message(), other)),
        database.execute(put(make_message())),
        return_exceptions=True,
    )
    assert (results[0], type(results[1]), results[2]) == (1, ConflictError, 1)
    assert (await database.ask(AskDepth())).waiting == 2
    database.close()


async def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    database = Database(tmp_path)
    await database.execute(put(make_message(), make_message()))
    seqs = await database.execute(Append(records=(make_record(), make_record())))
    database.close()
    again = Database(tmp_path)
    assert (await again.ask(AskDepth())).waiting == 2
    assert await again.ask(LastSeq()) == seqs[-1] == 2
    assert await again.ask(CheckIntegrity()) == "ok"
    again.close()


async def test_a_closed_store_refuses_clearly(tmp_path: Path) -> None:
    database = Database(tmp_path)
    database.close()
    with pytest.raises(OverloadedError, match="closed"):
        await database.execute(put(make_message()))


async def test_a_full_disk_refuses_and_heals_by_itself(tmp_path: Path) -> None:
    database = Database(tmp_path)
    await database.execute(put(make_message()))
    pages = next(iter(database._connection.execute("PRAGMA page_count")))[0]
    list(database._connection.execute(f"PRAGMA max_page_count = {pages + 4}"))
    texts = ["x" * 20_000 for _ in range(20)]
    with pytest.raises(OverloadedError, match="cannot write"):
        await database.execute(put(*[make_message(text) for text in texts]))
    assert (await database.ask(AskDepth())).waiting == 1
    # The connection that hit the limit was thrown away, and with it the limit.
    assert await database.execute(put(*[make_message(text) for text in texts])) == 20
    assert (await database.ask(AskDepth())).waiting == 21
    database.close()


def test_an_older_database_is_brought_up_to_date(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / FILE))
    assert migrate(connection) == 0
    connection.execute("INSERT INTO cursors (name, seq) VALUES ('kept', 7)")
    newer = (*MIGRATIONS, "ALTER TABLE cursors ADD COLUMN note TEXT NOT NULL DEFAULT 'new'")
    assert migrate(connection, newer) == len(MIGRATIONS)
    assert list(connection.execute("SELECT name, seq, note FROM cursors")) == [("kept", 7, "new")]
    assert migrate(connection, newer) == len(newer)
    connection.close()


def test_a_failed_migration_changes_nothing(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / FILE))
    migrate(connection)
    with pytest.raises(apsw.SQLError):
        migrate(connection, (*MIGRATIONS, "CREATE TABLE half (a); CREATE TABLE half (a)"))
    assert list(connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'")) == []
    assert migrate(connection) == len(MIGRATIONS)
    connection.close()


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    Database(tmp_path).close()
    connection = apsw.Connection(str(tmp_path / FILE))
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(ConfigError, match="use the newer chat-moderator"):
        Database(tmp_path)
