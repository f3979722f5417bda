"""PostgreSQL as the store that processes share: schema, errors with their cures, leases, and what only it has."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import asyncpg
import pytest

from chat_moderator.errors import ChatModeratorError, ConfigError, StaleLeaseError, TransientError
from chat_moderator.moderator.lease import ConnectionLease
from chat_moderator.store.audit import Append, LastSeq, RecordsAfter
from chat_moderator.store.changes import LastChange, ReadFeed
from chat_moderator.store.divided import SHARED
from chat_moderator.store.outbox import DueIntentions, NextDue, StartIntention
from chat_moderator.store.postgres import COMMANDS, QUERIES, Config, PostgresStore
from chat_moderator.store.postgres_audit import STAGED, append
from chat_moderator.store.postgres_changes import add_change
from chat_moderator.store.postgres_context import PostgresContext
from chat_moderator.store.postgres_migrations import MIGRATIONS, migrate
from chat_moderator.store.retention import Compact, EraseAuthor, Forget
from chat_moderator.store.reviews import ResolveReview, ReviewState
from chat_moderator.store.stored_audit import StoredAudit
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Author, Verdict, now
from tests.running import free_port
from tests.servers.postgres import PostgresServer

PATIENCE = 30
OPEN = """
import asyncio, sys
from chat_moderator.store.postgres import Config, PostgresStore
async def main():
    store = PostgresStore(Config(sys.argv[1], sys.argv[2]))
    sys.stdin.readline()
    await store.open()
    await store.aclose()
asyncio.run(main())
"""


@pytest.fixture
async def store(postgres: PostgresServer) -> AsyncIterator[PostgresStore]:
    async with aclosing(postgres.store()) as opened:
        yield opened


async def row(server: PostgresServer, schema: str, sql: str) -> Any:
    connection = await asyncpg.connect(server.url(), server_settings={"search_path": schema})
    try:
        return await connection.fetchrow(sql)
    finally:
        await connection.close()


def test_what_is_shared_is_what_it_can_do() -> None:
    assert {*COMMANDS, *QUERIES} == SHARED | {Compact, EraseAuthor, Forget}


async def test_an_operator_reads_the_audit_with_sql(postgres: PostgresServer) -> None:
    settings = postgres.settings()
    async with aclosing(PostgresStore(settings)) as store:
        message = make_message("you \0 fool", id="m", author=Author("u\0"), channel="c", platform="discord")
        await store.execute(Append(records=(make_record(message, Verdict.BLOCK, label="insult"), make_record())))
        kept = (await store.ask(RecordsAfter(seq=0, limit=9)))[0]
        assert kept.message.text == "you \N{REPLACEMENT CHARACTER} fool"
    sql = (
        "SELECT message_id, platform, channel, verdict, label, score, text, author_id, scores ->> 'toxicity' FROM audit"
    )
    found = await row(postgres, settings.schema, sql)
    place = ("m", "discord", "c", "block", "insult", 0.9, "you \N{REPLACEMENT CHARACTER} fool")
    assert tuple(found) == (*place, "u\N{REPLACEMENT CHARACTER}", "0.9")


async def test_a_backslash_before_what_looks_like_a_nul_stays(store: PostgresStore) -> None:
    text = "\\u0000 \0\0 \\\\\0"
    await StoredAudit(store).append_once([make_record(make_message(text, id=text))])
    (record,) = await store.ask(RecordsAfter(seq=0, limit=9))
    assert record.message.text == record.message.id == text.replace("\0", "\N{REPLACEMENT CHARACTER}")


async def test_the_first_schema_is_brought_up_to_date_with_what_it_holds(postgres: PostgresServer) -> None:
    settings = postgres.settings()
    connection = await asyncpg.connect(postgres.url(), server_settings={"search_path": settings.schema})
    await migrate(connection, settings.schema, MIGRATIONS[:1])
    await connection.execute(STAGED)
    held = (make_record(verdict=Verdict.HOLD),)
    async with connection.transaction():
        (seq,) = await append(PostgresContext(connection, now()), Append(records=held))
    await connection.close()
    async with aclosing(PostgresStore(settings)) as store:
        await store.execute(ResolveReview(id=seq, state=ReviewState.APPROVED, reviewer="mod"))
        page = await store.ask(ReadFeed(after=0, changed=0, limit=9))
        assert [(each.seq, each.decision.verdict) for each in page.changes] == [(seq, Verdict.ALLOW)]


async def test_an_older_schema_is_brought_up_to_date(postgres: PostgresServer) -> None:
    settings = postgres.settings()
    async with aclosing(PostgresStore(settings)) as store:
        await store.execute(Append(records=(make_record(),)))
    connection = await asyncpg.connect(postgres.url(), server_settings={"search_path": settings.schema})
    newer = (*MIGRATIONS, "ALTER TABLE decisions ADD COLUMN note text NOT NULL DEFAULT 'new'")
    assert await migrate(connection, settings.schema, newer) == len(MIGRATIONS)
    assert await connection.fetchval("SELECT note FROM decisions") == "new"
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate(connection, settings.schema, (*newer, "CREATE TABLE half (a int); CREATE TABLE half (a int)"))
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    assert await migrate(connection, settings.schema, newer) == len(newer)
    await connection.close()
    async with aclosing(PostgresStore(settings)) as store:
        with pytest.raises(ConfigError, match=r"store\.url: .* schema 3, this version knows up to 2: use the newer"):
            await store.ask(LastSeq())


async def test_processes_that_start_at_once_migrate_once(postgres: PostgresServer) -> None:
    settings = postgres.settings()
    command = [sys.executable, "-c", OPEN, settings.url, settings.schema]
    processes = [await asyncio.create_subprocess_exec(*command, stdin=PIPE, stderr=PIPE) for _ in range(3)]
    ended = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [(process.returncode, errors) for process, (_, errors) in zip(processes, ended, strict=True)] == [
        (0, b"")
    ] * 3
    assert tuple(await row(postgres, settings.schema, "SELECT count(*), max(version) FROM schema_version")) == (
        1,
        len(MIGRATIONS),
    )


async def refused(settings: Config) -> ChatModeratorError:
    async with aclosing(PostgresStore(settings)) as store:
        with pytest.raises(ChatModeratorError) as caught:
            await store.open()
    return caught.value


async def test_what_is_wrong_is_said_with_its_cure(postgres: PostgresServer) -> None:
    await postgres.run(
        "CREATE ROLE guest LOGIN PASSWORD 'guest'",
        "CREATE DATABASE closed",
        "REVOKE CREATE, TEMPORARY ON DATABASE closed FROM PUBLIC",
        "CREATE DATABASE readable",
    )
    for url, told in (
        (postgres.url(password="secret-guess"), "let 'postgres' in .*: correct user or password"),
        (postgres.url(user="stranger"), "let 'stranger' in .*: correct user or password"),
        (postgres.url(database="nowhere"), "there is no database 'nowhere': create it, or name another"),
        (
            postgres.url(user="guest", password="guest", database="closed"),
            'GRANT CREATE, TEMPORARY ON DATABASE "closed" TO "guest"',
        ),
        (
            postgres.url(user="guest", password="guest", database="readable"),
            'GRANT CREATE, TEMPORARY ON DATABASE "readable" TO "guest"',
        ),
        ("mysql://127.0.0.1/x", "is no address of a database, such as postgresql://"),
    ):
        error = await refused(Config(url))
        assert isinstance(error, ConfigError)
        with pytest.raises(ConfigError, match=rf"^store\.url: .*{told}"):
            raise error
        assert "secret-guess" not in str(error)
    port = free_port()
    error = await refused(Config(postgres.url(port=port)))
    assert isinstance(error, TransientError)
    assert str(error).startswith(f"the database at 127.0.0.1:{port} cannot be reached (")
    assert "check store.url, and that the server runs" in str(error)
    assert "it's" not in str(error)
    assert isinstance(await refused(Config("postgresql://u:p@nowhere.invalid/x")), TransientError)


async def test_a_role_that_may_not_make_schemas_uses_one_made_for_it(postgres: PostgresServer) -> None:
    await postgres.run("CREATE ROLE tenant LOGIN PASSWORD 'tenant'", "CREATE SCHEMA given AUTHORIZATION tenant")
    url = postgres.url(user="tenant", password="tenant")
    async with aclosing(PostgresStore(Config(url, "given"))) as store:
        assert await store.execute(Append(records=(make_record(),))) == [1]


async def waits(task: "asyncio.Task[Any]", slow: asyncpg.Connection) -> None:
    """Until the task waits for what a slow transaction has."""
    async with asyncio.timeout(PATIENCE):
        while not await slow.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not task.done()
            await asyncio.sleep(0.01)


async def test_who_reads_on_misses_nothing_that_commits_later(postgres: PostgresServer) -> None:
    """While an append that has its number is not committed, no later one is either."""
    settings = postgres.settings()
    async with aclosing(PostgresStore(settings)) as store:
        assert await store.ask(LastSeq()) == 0
        slow = await asyncpg.connect(postgres.url(), server_settings={"search_path": settings.schema})
        await slow.execute(STAGED)
        transaction = slow.transaction()
        await transaction.start()
        assert await append(PostgresContext(slow, now()), Append(records=(make_record(),))) == [1]
        later = asyncio.create_task(store.execute(Append(records=(make_record(),))))
        await waits(later, slow)
        assert await store.ask(LastSeq()) == 0
        await transaction.commit()
        await slow.close()
        assert await later == [2]


async def test_who_reads_changes_misses_none_that_commits_later(postgres: PostgresServer) -> None:
    """While a change that has its number is not committed, no later one is either."""
    settings = postgres.settings()
    async with aclosing(PostgresStore(settings)) as store:
        first, second = await store.execute(Append(records=(make_record(verdict=Verdict.HOLD),) * 2))
        slow = await asyncpg.connect(postgres.url(), server_settings={"search_path": settings.schema})
        transaction = slow.transaction()
        await transaction.start()
        await add_change(PostgresContext(slow, now()), first, "test", Verdict.ALLOW, "review: approved")
        later = asyncio.create_task(store.execute(ResolveReview(id=second, state=ReviewState.APPROVED, reviewer="mod")))
        await waits(later, slow)
        assert await store.ask(LastChange()) == 0
        await transaction.commit()
        await slow.close()
        await later
        page = await store.ask(ReadFeed(after=second, changed=0, limit=9))
        assert [each.seq for each in page.changes] == [first, second]


async def test_others_hear_of_appends_and_changes(postgres: PostgresServer) -> None:
    settings = postgres.settings()
    heard: asyncio.Queue[bool] = asyncio.Queue()
    async with aclosing(PostgresStore(settings)) as listener, aclosing(PostgresStore(settings)) as writer:
        listener.on_append(heard.put_nowait)
        listening = asyncio.create_task(listener.listen())
        async with asyncio.timeout(PATIENCE):
            assert await heard.get()  # whatever came before
            await writer.execute(Append(records=(make_record(),)))
            assert not await heard.get()
            await writer.execute(Append(records=(make_record(verdict=Verdict.BLOCK, actions=("delete",)),)))
            assert await heard.get()
            (held,) = await writer.execute(Append(records=(make_record(verdict=Verdict.HOLD),)))
            assert not await heard.get()
            await writer.execute(ResolveReview(id=held, state=ReviewState.APPROVED, reviewer="mod"))
            assert await heard.get()
        listening.cancel()


async def test_one_process_acts_for_a_connection(store: PostgresStore) -> None:
    first, second = (ConnectionLease(store, "discord", seconds=600) for _ in range(2))
    assert await first.held()
    assert not await second.held()
    assert (first.sure, second.sure) == (True, False)
    await second.free()
    assert await first.held()
    await first.free()
    assert await second.held()
    assert not await first.held()


async def test_another_process_acts_when_the_first_is_gone(store: PostgresStore) -> None:
    gone, other = ConnectionLease(store, "discord", seconds=0.5), ConnectionLease(store, "discord")
    assert await gone.held()
    async with asyncio.timeout(PATIENCE):
        while not await other.held():
            await asyncio.sleep(0.05)
    assert not gone.sure


async def test_what_a_connection_is_to_do_is_left_to_it_wherever_it_runs(store: PostgresStore) -> None:
    records = [
        make_record(make_message(client=name), Verdict.BLOCK, actions=("delete",)) for name in ("discord", "api-key")
    ]
    await store.execute(Append(records=tuple(records)))
    lease = ConnectionLease(store, "discord")
    assert await lease.held()
    for _ in range(2):
        due = await store.ask(DueIntentions(limit=9))
        assert [each.record.message.client for each in due] == ["api-key"]
        own = await store.ask(DueIntentions(limit=9, only="discord"))
        assert len(own) == 1
        await lease.free()  # as between two runs of its process
    assert await store.ask(NextDue(without=("api-key",))) is None


async def test_what_must_not_happen_twice_is_begun_by_one(store: PostgresStore) -> None:
    await store.execute(Append(records=(make_record(verdict=Verdict.BLOCK, actions=("reply",)),)))
    (intention,) = await store.ask(DueIntentions(limit=9))
    await store.execute(StartIntention(id=intention.id))
    with pytest.raises(StaleLeaseError):
        await store.execute(StartIntention(id=intention.id))
