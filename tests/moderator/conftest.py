"""A store, a queue and a moderator that knows three words."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat_moderator.moderator.cascade import Cascade
from chat_moderator.moderator.moderator import Moderator
from chat_moderator.policy.config import PolicyConfig
from chat_moderator.policy.thresholds import ThresholdPolicy
from chat_moderator.store.database import Database
from chat_moderator.testing.clock import FakeClock
from chat_moderator.testing.doubles import WordClassifier

ACTIONS = ("alert", "delete", "hold", "release", "reply")


@pytest.fixture
async def database(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Database]:
    opened = Database(tmp_path, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def classifier() -> WordClassifier:
    return WordClassifier()


@pytest.fixture
async def moderator(classifier: WordClassifier, clock: FakeClock) -> AsyncIterator[Moderator]:
    policy = ThresholdPolicy(PolicyConfig(), actions=ACTIONS)
    built = Moderator(Cascade([("words", classifier)]), policy, performable=lambda _: ACTIONS, clock=clock)
    yield built
    classifier.answer.set()
    await built.aclose()
