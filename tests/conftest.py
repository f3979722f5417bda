"""Fixtures that every test may use."""

from collections.abc import Iterator

import hypothesis
import pytest

from chat_moderator.testing.clock import FakeClock
from tests.servers.brokers import BROKERS, Broker
from tests.servers.postgres import PostgresServer

# How long one example takes says more about what else the machine does than about the code.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture(scope="session", params=sorted(BROKERS))
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Each broker in turn, on loopback."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    started = BROKERS[request.param](tmp_path_factory.mktemp(request.param))
    yield started
    started.stop()
    monkeypatch.undo()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """PostgreSQL, on loopback."""
    started = PostgresServer()
    yield started
    started.stop()
