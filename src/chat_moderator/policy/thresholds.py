"""The policy of thresholds and rules: rules first, then block thresholds, hold thresholds and hints."""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

import msgspec

from chat_moderator.policy.config import CommunityConfig, PolicyConfig
from chat_moderator.policy.facts import Case
from chat_moderator.policy.presets import PRESETS
from chat_moderator.policy.replies import LABEL_NAMES, REPLIES
from chat_moderator.policy.scope import Scope
from chat_moderator.types import Assessment, Decision, Message

_NO_COMMUNITIES: Final = MappingProxyType[str, CommunityConfig]({})
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def _count_nothing(rule: str) -> None:
    """Takes the place of a metric."""


class ThresholdPolicy:
    """Decides by rules and thresholds, with overrides for communities and their channels; safe to call from any thread.

    Args:
        config: the policy everywhere.
        communities: what communities and their channels override, by name.
        actions: the names of the actions that there are.
        on_rule_failure: called with the name of a rule that failed, once a message, by whichever thread decides.

    Raises:
        ConfigError: at the path of the key, such as `communities.kids.policy.rules[2].when`.
    """

    def __init__(
        self,
        config: PolicyConfig,
        communities: Mapping[str, CommunityConfig] = _NO_COMMUNITIES,
        *,
        actions: Collection[str],
        on_rule_failure: Callable[[str], None] = _count_nothing,
    ) -> None:
        version = _version(config, communities)

        def scope(config: PolicyConfig, path: str, outer: Scope | None) -> Scope:
            known = frozenset(actions)
            return Scope(config, path, outer, actions=known, version=version, on_rule_failure=on_rule_failure)

        self._version = version
        self._everywhere = scope(config, "policy", None)
        self._communities: dict[str, Scope] = {}
        self._channels: dict[tuple[str, str], Scope] = {}
        for name, community in communities.items():
            path = f"communities.{_key(name)}"
            self._communities[name] = scope(community.policy, f"{path}.policy", self._everywhere)
            for channel, own in community.channels.items():
                channel_path = f"{path}.channels.{_key(channel)}.policy"
                self._channels[name, channel] = scope(own.policy, channel_path, self._communities[name])
        scopes = (self._everywhere, *self._communities.values(), *self._channels.values())
        self._limits = tuple(dict(distinct) for distinct in {tuple(sorted(each.limits.items())): 0 for each in scopes})

    @property
    def version(self) -> str:
        """The preset's name and a hash of all that is configured, the same in every process."""
        return self._version

    @property
    def limits(self) -> tuple[Mapping[str, float], ...]:
        """For each place with a policy of its own, the lowest score of each label at which anything may happen."""
        return self._limits

    def decide(self, messages: Sequence[Message], assessments: Sequence[Assessment], *, at: datetime) -> list[Decision]:
        """One decision a message, in order; `at` is the current time, in UTC."""
        return [
            self._scope_of(message).decide(Case(message, assessment, at))
            for message, assessment in zip(messages, assessments, strict=True)
        ]

    def reached(self, message: Message, assessment: Assessment) -> frozenset[str]:
        """The labels whose score is at or above what holds or blocks a message in its place; no rule is asked."""
        return self._scope_of(message).reached(assessment)

    def _scope_of(self, message: Message) -> Scope:
        # Only configured names are kept: nothing here grows by what senders name.
        if not self._communities:
            return self._everywhere
        channel = self._channels.get((message.community, message.channel))
        return channel or self._communities.get(message.community, self._everywhere)


def _key(name: str) -> str:
    """A name as it stands in a TOML key."""
    return name if _BARE_KEY.fullmatch(name) else msgspec.json.encode(name).decode()


def _version(config: PolicyConfig, communities: Mapping[str, CommunityConfig]) -> str:
    content = (config, dict(communities), PRESETS, dict(REPLIES), dict(LABEL_NAMES))
    digest = hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()
    return f"{config.preset or 'default'}-{digest[:10]}"
