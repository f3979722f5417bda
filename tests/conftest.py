"""Fixtures that every test may use."""

import pytest

from chat_moderator.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()
