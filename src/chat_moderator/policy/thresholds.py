"""The policy of thresholds and rules: rules first, then block thresholds, hold thresholds and hints."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

import msgspec

from chat_moderator.policy.config import (
    CommunityConfig,
    PolicyConfig,
    check_actions,
    check_thresholds,
    overridden,
)
from chat_moderator.policy.presets import PRESETS
from chat_moderator.policy.replies import LABEL_NAMES, REPLIES, check_replies, in_language, texts_of
from chat_moderator.policy.rules import Match, Rule, RuleSet, compiled_rules
from chat_moderator.types import LABELS, Assessment, Decision, Message, Verdict

RuleFailed = Callable[[str], None]
"""Told the name of each rule that failed on a message."""

_NO_COMMUNITIES: Final = MappingProxyType[str, CommunityConfig]({})


def _ignore(name: str) -> None:
    """Counts nothing."""


class ThresholdPolicy:
    """Decides by rules and thresholds, with overrides for communities and their channels.

    Args:
        config: the policy everywhere.
        communities: what communities and their channels override, by name.
        actions: the names of the actions that there are.
        on_rule_failure: told the name of a rule that failed, once a message; it is called on the judging thread.

    Raises:
        ConfigError: at the path of the key, such as `communities.kids.policy.rules[2].when`.
    """

    def __init__(
        self,
        config: PolicyConfig,
        communities: Mapping[str, CommunityConfig] = _NO_COMMUNITIES,
        *,
        actions: Collection[str],
        on_rule_failure: RuleFailed = _ignore,
    ) -> None:
        self._version = _version(config, communities)
        known = frozenset(actions)

        def scope(config: PolicyConfig, path: str, outer: _Scope | None) -> _Scope:
            return _Scope(config, path, outer, known, self._version, on_rule_failure)

        self._default = scope(config, "policy", None)
        self._communities: dict[str, _Scope] = {}
        self._channels: dict[tuple[str, str], _Scope] = {}
        for name, community in communities.items():
            path = f"communities.{_key(name)}"
            self._communities[name] = scope(community.policy, f"{path}.policy", self._default)
            for channel, own in community.channels.items():
                channel_path = f"{path}.channels.{_key(channel)}.policy"
                self._channels[name, channel] = scope(own.policy, channel_path, self._communities[name])

    @property
    def version(self) -> str:
        """The preset's name and a hash of all that is configured, the same in every process."""
        return self._version

    def decide(self, messages: Sequence[Message], assessments: Sequence[Assessment], *, at: datetime) -> list[Decision]:
        """One decision a message, in order; `at` is the current time, in UTC."""
        return [
            self._scope_of(message).decide(message, assessment, at)
            for message, assessment in zip(messages, assessments, strict=True)
        ]

    def _scope_of(self, message: Message) -> "_Scope":
        # Only names in the configuration are kept, so that no sender can make this grow.
        if not self._communities:
            return self._default
        channel = self._channels.get((message.community, message.channel))
        return channel or self._communities.get(message.community, self._default)


class _Scope:
    """The policy as it stands somewhere: everywhere, in a community or in a channel."""

    def __init__(
        self,
        config: PolicyConfig,
        path: str,
        outer: "_Scope | None",
        known_actions: frozenset[str],
        version: str,
        on_rule_failure: RuleFailed,
    ) -> None:
        _check(config, path, known_actions)
        self._version = version
        self._on_rule_failure = on_rule_failure
        rules = compiled_rules(config.rules, path)
        self.rules: tuple[Rule, ...] = (*rules, *outer.rules) if outer else rules
        self.config = overridden(outer.config, config) if outer else config
        self._rule_set = RuleSet(self.rules)
        preset = PRESETS[self.config.preset or "default"]
        self._blocks, self._holds = _thresholds(self.config)
        self._lowest = min(self._holds.values(), default=2.0)
        block, hold = self.config.actions.block, self.config.actions.hold
        self._actions = {
            Verdict.ALLOW: (),
            Verdict.HOLD: preset.hold_actions if hold is None else hold,
            Verdict.BLOCK: preset.block_actions if block is None else block,
        }
        self._escalations = preset.escalations
        self._replies = {
            Verdict.HOLD: texts_of(Verdict.HOLD, self.config.replies.hold),
            Verdict.BLOCK: texts_of(Verdict.BLOCK, self.config.replies.block),
        }

    def decide(self, message: Message, assessment: Assessment, at: datetime) -> Decision:
        match = self._rule_set.first_match(message, assessment, at)
        if match:
            return self._by_rule(match, message, assessment)
        scores = assessment.scores
        highest = max(scores.values(), default=0.0)
        if highest >= self._lowest:
            label = _decisive(scores, self._blocks)
            if label and not assessment.degraded:
                return self._by_label(Verdict.BLOCK, "threshold", label, scores[label], message, assessment)
            label = label or _decisive(scores, self._holds)
            if label:
                return self._by_label(Verdict.HOLD, "hold", label, scores[label], message, assessment)
        if assessment.hints:
            label = _decisive(assessment.hints, self._holds)
            if label:
                return self._by_label(Verdict.HOLD, "hint", label, assessment.hints[label], message, assessment)
        return Decision(
            verdict=Verdict.ALLOW,
            rule="default",
            score=highest,
            assessment=assessment,
            policy=self._version,
            label=_label_of(highest, scores),
        )

    def _by_label(
        self, verdict: Verdict, kind: str, label: str, score: float, message: Message, assessment: Assessment
    ) -> Decision:
        rule = f"{kind}:{label}"
        names = in_language(LABEL_NAMES, message.language)
        return Decision(
            verdict=verdict,
            rule=rule,
            score=score,
            assessment=assessment,
            policy=self._version,
            label=label,
            actions=_joined(self._actions[verdict], self._escalations.get(label, ())),
            reply=self._reply(verdict, message, label=names[label], rule=rule),
        )

    def _by_rule(self, match: Match, message: Message, assessment: Assessment) -> Decision:
        rule = match.rule
        verdict, name, actions = rule.verdict, f"rule:{rule.name}", rule.actions
        if match.failed:
            self._on_rule_failure(rule.name)
            verdict, name, actions = Verdict.HOLD, f"rule failed: {rule.name}", ()
        elif verdict is Verdict.BLOCK and assessment.degraded:
            verdict = Verdict.HOLD
        scores = {label: assessment.scores.get(label, 0.0) for label in rule.labels} or assessment.scores
        score = max(scores.values(), default=0.0)
        return Decision(
            verdict=verdict,
            rule=name,
            score=score,
            assessment=assessment,
            policy=self._version,
            label=_label_of(score, scores),
            actions=_joined(self._actions[verdict], actions),
            reply=self._reply(verdict, message, label=rule.name, rule=rule.name),
        )

    def _reply(self, verdict: Verdict, message: Message, *, label: str, rule: str) -> str:
        if verdict is Verdict.ALLOW:
            return ""
        return in_language(self._replies[verdict], message.language).format(label=label, rule=rule)


def _check(config: PolicyConfig, path: str, known_actions: frozenset[str]) -> None:
    check_thresholds(config, path)
    check_actions(config.actions.block or (), known_actions, f"{path}.actions.block")
    check_actions(config.actions.hold or (), known_actions, f"{path}.actions.hold")
    check_replies(config.replies.block, f"{path}.replies.block")
    check_replies(config.replies.hold, f"{path}.replies.hold")
    for index, rule in enumerate(config.rules):
        check_actions(rule.actions, known_actions, f"{path}.rules[{index}].actions")


def _thresholds(config: PolicyConfig) -> tuple[dict[str, float], dict[str, float]]:
    """Block and hold thresholds by label, in the order of LABELS; whatever blocks also holds, at the latest where it blocks."""
    preset = PRESETS[config.preset or "default"]
    blocks = dict(preset.blocks) if config.threshold is None else dict.fromkeys(preset.blocks, config.threshold)
    holds = dict(preset.holds) if config.hold is None else dict.fromkeys(preset.holds, config.hold)
    blocks |= config.thresholds
    holds |= config.holds
    holds = {
        label: min(holds.get(label, 2.0), blocks.get(label, 2.0))
        for label in LABELS
        if label in holds or label in blocks
    }
    return {label: blocks[label] for label in LABELS if label in blocks}, holds


def _decisive(scores: Mapping[str, float], thresholds: Mapping[str, float]) -> str:
    """The label with the highest score of those that reach their threshold, the first in LABELS of equals; empty when none does."""
    decisive, highest = "", -1.0
    for label, threshold in thresholds.items():
        score = scores.get(label, 0.0)
        if score >= threshold and score > highest:
            decisive, highest = label, score
    return decisive


def _label_of(score: float, scores: Mapping[str, float]) -> str:
    for label in LABELS:
        if scores.get(label) == score:
            return label
    return min((label for label in scores if scores[label] == score), default="")


def _joined(actions: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(actions + more)) if more else actions


def _key(name: str) -> str:
    """A name as it stands in a TOML key."""
    return (
        name
        if name.replace("-", "").replace("_", "").isalnum() and name.isascii()
        else msgspec.json.encode(name).decode()
    )


def _version(config: PolicyConfig, communities: Mapping[str, CommunityConfig]) -> str:
    data = msgspec.json.encode((config, communities, PRESETS, REPLIES, LABEL_NAMES), order="deterministic")
    return f"{config.preset or 'default'}-{hashlib.sha256(data).hexdigest()[:10]}"
