"""The policy as it stands in one place: everywhere, in a community or in a channel."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from chat_moderator.policy.config import PolicyConfig, check_actions, check_thresholds, overridden
from chat_moderator.policy.facts import Case
from chat_moderator.policy.presets import PRESETS
from chat_moderator.policy.replies import LABEL_NAMES, check_replies, in_language, texts_of
from chat_moderator.types import LABELS, Assessment, Decision, Verdict

if TYPE_CHECKING:
    from chat_moderator.policy.rules import Match, RuleSet

_NEVER: Final = 2.0
"""A threshold above every score."""


class Scope:
    """Decides in one place, by what is configured there and what it inherits from `outer`.

    Args:
        config: what is configured there, at `path` in the file.
        outer: the scope around it; None for the policy everywhere.
        actions: the names of the actions that there are.
        version: the policy version that decisions carry.
        on_rule_failure: called with the name of a rule that failed.

    Raises:
        ConfigError: at the path of the key.
    """

    def __init__(
        self,
        config: PolicyConfig,
        path: str,
        outer: "Scope | None",
        *,
        actions: frozenset[str],
        version: str,
        on_rule_failure: Callable[[str], None],
    ) -> None:
        _check(config, path, actions)
        self._version = version
        self._on_rule_failure = on_rule_failure
        self.config: PolicyConfig = overridden(outer.config, config) if outer else config
        self.rules: RuleSet | None = outer.rules if outer else None
        if config.rules:
            from chat_moderator.policy.rules import rule_set  # noqa: PLC0415 - CEL takes 0.15 s to import

            self.rules = rule_set(config.rules, path, outer=self.rules)
        self._preset = PRESETS[self.config.preset or "default"]
        self._blocks, self._holds = _thresholds(self.config)
        self._lowest = min(self._holds.values(), default=_NEVER)
        ruled = self.rules.limits if self.rules else {}
        self.limits: Mapping[str, float] = self._holds | {
            label: min(limit, self._holds.get(label, _NEVER)) for label, limit in ruled.items()
        }
        hold, block = self.config.actions.hold, self.config.actions.block
        self._actions = {
            Verdict.ALLOW: (),
            Verdict.HOLD: self._preset.hold_actions if hold is None else hold,
            Verdict.BLOCK: self._preset.block_actions if block is None else block,
        }
        self._replies = {
            Verdict.ALLOW: {"default": ""},
            Verdict.HOLD: texts_of(Verdict.HOLD, self.config.replies.hold),
            Verdict.BLOCK: texts_of(Verdict.BLOCK, self.config.replies.block),
        }

    def decide(self, case: Case) -> Decision:
        """The decision on a message."""
        match = self.rules and self.rules.first_match(case)
        if match:
            return self._by_rule(match, case)
        assessment = case.assessment
        scores = assessment.scores
        highest = max(scores.values(), default=0.0)
        if highest >= self._lowest:
            label = _decisive(scores, self._blocks)
            if label and not assessment.degraded:
                return self._by_label(Verdict.BLOCK, f"threshold:{label}", label, case)
            label = label or _decisive(scores, self._holds)
            if label:
                return self._by_label(Verdict.HOLD, f"hold:{label}", label, case)
        if assessment.hints:
            label = _decisive(assessment.hints, self._holds)
            if label:
                return self._by_label(Verdict.HOLD, f"hint:{label}", label, case)
        return Decision(
            verdict=Verdict.ALLOW,
            rule="default",
            score=highest,
            assessment=assessment,
            policy=self._version,
            label=_label_of(highest, scores),
        )

    def reached(self, assessment: Assessment) -> frozenset[str]:
        """The labels whose score or hint is at or above the threshold that holds or blocks."""
        scores, hints = assessment.scores, assessment.hints
        return frozenset(
            label
            for label, threshold in self._holds.items()
            if max(scores.get(label, 0.0), hints.get(label, 0.0)) >= threshold
        )

    def _by_label(self, verdict: Verdict, rule: str, label: str, case: Case) -> Decision:
        assessment = case.assessment
        language = case.message.language
        scores = assessment.hints if rule.startswith("hint:") else assessment.scores
        text = in_language(self._replies[verdict], language)
        return Decision(
            verdict=verdict,
            rule=rule,
            score=scores[label],
            assessment=assessment,
            policy=self._version,
            label=label,
            actions=_joined(self._actions[verdict], self._preset.escalations.get(label, ())),
            reply=text.format(label=in_language(LABEL_NAMES, language)[label], rule=rule),
        )

    def _by_rule(self, match: "Match", case: Case) -> Decision:
        rule, assessment = match.rule, case.assessment
        verdict, name, actions = rule.verdict, f"rule:{rule.name}", rule.actions
        if match.failed:
            self._on_rule_failure(rule.name)
            verdict, name, actions = Verdict.HOLD, f"rule failed: {rule.name}", ()
        elif verdict is Verdict.BLOCK and assessment.degraded:
            verdict = Verdict.HOLD
        scores = {label: assessment.scores.get(label, 0.0) for label in rule.labels} or assessment.scores
        score = max(scores.values(), default=0.0)
        text = in_language(self._replies[verdict], case.message.language)
        return Decision(
            verdict=verdict,
            rule=name,
            score=score,
            assessment=assessment,
            policy=self._version,
            label=_label_of(score, scores),
            actions=_joined(self._actions[verdict], actions),
            reply=text.format(label=rule.name, rule=rule.name),
        )


def _check(config: PolicyConfig, path: str, actions: frozenset[str]) -> None:
    check_thresholds(config, path)
    check_actions(config.actions.block or (), actions, f"{path}.actions.block")
    check_actions(config.actions.hold or (), actions, f"{path}.actions.hold")
    check_replies(config.replies.block, f"{path}.replies.block")
    check_replies(config.replies.hold, f"{path}.replies.hold")
    for index, rule in enumerate(config.rules):
        check_actions(rule.actions, actions, f"{path}.rules[{index}].actions")


def _thresholds(config: PolicyConfig) -> tuple[dict[str, float], dict[str, float]]:
    """Block and hold thresholds by label, in the order of LABELS; what blocks holds at the latest where it blocks."""
    preset = PRESETS[config.preset or "default"]
    blocks = preset.blocks if config.threshold is None else dict.fromkeys(preset.blocks, config.threshold)
    holds = preset.holds if config.hold is None else dict.fromkeys(preset.holds, config.hold)
    blocks, holds = blocks | config.thresholds, holds | config.holds
    limits = [(label, blocks.get(label, _NEVER), holds.get(label, _NEVER)) for label in LABELS]
    return (
        {label: block for label, block, _ in limits if block < _NEVER},
        {label: min(block, hold) for label, block, hold in limits if min(block, hold) < _NEVER},
    )


def _decisive(scores: Mapping[str, float], thresholds: Mapping[str, float]) -> str:
    """The label with the highest score of those that reach their threshold; empty when none does."""
    decisive, highest = "", -1.0
    for label, threshold in thresholds.items():
        score = scores.get(label, 0.0)
        if score >= threshold and score > highest:
            decisive, highest = label, score
    return decisive


def _label_of(score: float, scores: Mapping[str, float]) -> str:
    """The label that has the score, whatever the order of the scores; empty when none has."""
    for label in LABELS:
        if scores.get(label) == score:
            return label
    return min((label for label, value in scores.items() if value == score), default="")


def _joined(actions: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(actions + more)) if more else actions
