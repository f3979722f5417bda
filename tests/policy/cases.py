"""Policies as an operator writes them, and messages to decide on."""

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from hypothesis import settings

from chat_moderator.policy.config import CommunityConfig, PolicyConfig
from chat_moderator.policy.thresholds import ThresholdPolicy
from chat_moderator.types import Assessment, Decision, Message, Struct

ACTIONS = ("alert", "delete", "hold", "reply")
UNHURRIED = settings(deadline=None)
"""A property says nothing about time, and the machine may be busy."""
AT = datetime(2026, 6, 1, tzinfo=UTC)


class File(Struct, frozen=True):
    policy: PolicyConfig = PolicyConfig()
    communities: dict[str, CommunityConfig] = {}


def policy(text: str = "", *, on_rule_failure: Callable[[str], None] = lambda _: None) -> ThresholdPolicy:
    file = msgspec.convert(tomllib.loads(text), File)
    return ThresholdPolicy(file.policy, file.communities, actions=ACTIONS, on_rule_failure=on_rule_failure)


def assessed(scores: dict[str, float], hints: dict[str, float] | None = None, *, degraded: bool = False) -> Assessment:
    return Assessment(scores=scores, tier="ngram", model="1", hints=hints or {}, degraded=degraded)


def assessment(hints: dict[str, float] | None = None, *, degraded: bool = False, **scores: float) -> Assessment:
    return assessed(scores, hints, degraded=degraded)


def message(text: str = "hello", **fields: object) -> Message:
    return msgspec.structs.replace(Message(id="1", text=text), **fields)


def decided(policy: ThresholdPolicy, found: Assessment | None = None, about: Message | None = None) -> Decision:
    return policy.decide([about or message()], [found or assessment()], at=AT)[0]
