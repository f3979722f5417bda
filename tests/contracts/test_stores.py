"""Every registered store keeps the contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat_moderator import registry
from chat_moderator.store.database import Database, Store
from chat_moderator.store.divided import DividedStore
from chat_moderator.store.postgres import PostgresStore
from chat_moderator.testing.clock import FakeClock
from chat_moderator.testing.stores import CHECKS, Check
from tests.servers.postgres import PostgresServer

CASES = ("postgres", "sqlite")


def test_every_registered_store_has_a_case() -> None:
    assert registry.names("store") == sorted(CASES)


@pytest.fixture(params=CASES)
async def store(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
    local = Database(tmp_path, clock=clock)
    if request.param == "sqlite":
        yield local
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        shared = PostgresStore(server.settings(), clock=clock)
        yield DividedStore(shared, local)
        await shared.aclose()
    local.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_store(check: Check, store: Store, clock: FakeClock) -> None:
    await check(store, clock)
