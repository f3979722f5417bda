"""A second process works through the socket of the one that owns the store."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from chat_moderator.errors import ConfigError, ConflictError, StaleLeaseError, TransientError
from chat_moderator.queues.embedded import EmbeddedAuditLease, EmbeddedQueue
from chat_moderator.store.audit import LastSeq, RecordsAfter
from chat_moderator.store.database import Database
from chat_moderator.store.keys import Authenticate, CreateKey, ListKeys, RevokeKey
from chat_moderator.store.socket import RemoteStore, StoreServer
from chat_moderator.testing.clock import FakeClock
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Role


@pytest.fixture
async def server(tmp_path: Path, clock: FakeClock) -> AsyncIterator[StoreServer]:
    database = Database(tmp_path, clock=clock)
    opened = StoreServer(database, tmp_path)
    await opened.start()
    yield opened
    await opened.aclose()
    database.close()


@pytest.fixture
async def remote(server: StoreServer, tmp_path: Path) -> AsyncIterator[RemoteStore]:
    opened = await RemoteStore.connect(tmp_path)
    yield opened
    await opened.aclose()


async def test_a_remote_worker_leases_and_commits(remote: RemoteStore) -> None:
    queue = EmbeddedQueue(remote)
    messages = [make_message(channel="a") for _ in range(3)]
    assert await queue.put(messages) == 3
    lease = await queue.lease(10, wait=timedelta())
    assert isinstance(lease, EmbeddedAuditLease)
    assert list(lease.messages) == messages
    await lease.commit([make_record(message) for message in messages])
    assert [record.message for record in await remote.ask(RecordsAfter(seq=0, limit=9))] == messages


async def test_errors_cross_as_what_they_are(remote: RemoteStore, clock: FakeClock) -> None:
    queue = EmbeddedQueue(remote)
    await queue.put([make_message("one", id="a")])
    with pytest.raises(ConflictError, match="accepted before with another text"):
        await queue.put([make_message("two", id="a")])
    stale = await queue.lease(10, wait=timedelta())
    clock.advance(31)
    assert await queue.lease(10, wait=timedelta()) is not None
    assert stale is not None
    with pytest.raises(StaleLeaseError):
        await stale.ack()


async def test_keys_are_made_checked_and_revoked(remote: RemoteStore) -> None:
    made = await remote.execute(CreateKey(name="bot", role=Role.CLIENT))
    key = await remote.ask(Authenticate(token=made.token))
    assert key == made.key
    assert await remote.ask(Authenticate(token=made.token[:-1] + "x")) is None
    assert await remote.ask(Authenticate(token="cm_nobody_nothing")) is None
    await remote.execute(RevokeKey(id=made.key.id))
    assert await remote.ask(Authenticate(token=made.token)) is None
    assert [each.revoked_at is not None for each in await remote.ask(ListKeys())] == [True]


async def test_the_socket_is_for_the_same_user_only(server: StoreServer) -> None:
    assert server.path.stat().st_mode & 0o077 == 0


async def test_nobody_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start one with `chat-moderator serve`"):
        await RemoteStore.connect(tmp_path)


async def test_a_lost_owner_is_noticed(server: StoreServer, remote: RemoteStore) -> None:
    assert await remote.ask(LastSeq()) == 0
    await server.aclose()
    with pytest.raises(TransientError, match="is gone"):
        await remote.ask(LastSeq())
