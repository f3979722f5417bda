"""What an operator writes about the policy, and how a community's or a channel's words change it."""

from types import MappingProxyType
from typing import Final, Literal

import msgspec

from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS, Struct, Verdict

PresetName = Literal["youth", "default", "lenient"]

MAX_NAME_LENGTH: Final = 100
NO_TEXTS: Final = MappingProxyType[str, str]({})


class RuleConfig(Struct, frozen=True):
    """One CEL rule. `actions` are done besides those that follow the verdict anyway."""

    name: str
    when: str
    verdict: Verdict
    actions: tuple[str, ...] = ()


class ActionsConfig(Struct, frozen=True):
    """The actions that follow a verdict, in order; None where nothing is said."""

    block: tuple[str, ...] | None = None
    hold: tuple[str, ...] | None = None


class RepliesConfig(Struct, frozen=True):
    """Texts for the author by language tag, `default` for every other language; may hold {label} and {rule}."""

    block: dict[str, str] = {}
    hold: dict[str, str] = {}


class PolicyConfig(Struct, frozen=True):
    """One `policy` table. None or empty says nothing: then what lies outside applies, and at last the preset.

    Thresholds are above 0 and at most 1. `threshold` stands for every label that the preset blocks, `hold` for
    every label that it holds.
    """

    preset: PresetName | None = None
    threshold: float | None = None
    hold: float | None = None
    thresholds: dict[str, float] = {}
    holds: dict[str, float] = {}
    actions: ActionsConfig = ActionsConfig()
    replies: RepliesConfig = RepliesConfig()
    rules: tuple[RuleConfig, ...] = ()


class ChannelConfig(Struct, frozen=True):
    """What a channel has of its own."""

    policy: PolicyConfig = PolicyConfig()


class CommunityConfig(Struct, frozen=True):
    """What a community has of its own, and its channels by name."""

    policy: PolicyConfig = PolicyConfig()
    channels: dict[str, ChannelConfig] = {}


def with_threshold(config: PolicyConfig, value: float) -> PolicyConfig:
    """The config with another `threshold`, as the environment may set it; a `hold` above it is lowered to it.

    Raises:
        ConfigError: the value is not above 0 and at most 1.
    """
    _check_threshold(value, "policy.threshold")
    hold = None if config.hold is None else min(config.hold, value)
    return msgspec.structs.replace(config, threshold=value, hold=hold)


def overridden(outer: PolicyConfig, inner: PolicyConfig) -> PolicyConfig:
    """`outer` with what `inner` says. A preset in `inner` ends all thresholds of `outer`; its rules come first."""
    numbers = PolicyConfig(preset=inner.preset) if inner.preset else outer
    return PolicyConfig(
        preset=numbers.preset,
        threshold=numbers.threshold if inner.threshold is None else inner.threshold,
        hold=numbers.hold if inner.hold is None else inner.hold,
        thresholds=numbers.thresholds | inner.thresholds,
        holds=numbers.holds | inner.holds,
        actions=ActionsConfig(
            block=outer.actions.block if inner.actions.block is None else inner.actions.block,
            hold=outer.actions.hold if inner.actions.hold is None else inner.actions.hold,
        ),
        replies=RepliesConfig(
            block=outer.replies.block | inner.replies.block,
            hold=outer.replies.hold | inner.replies.hold,
        ),
        rules=inner.rules + outer.rules,
    )


def check_thresholds(config: PolicyConfig, path: str) -> None:
    """Refuses labels that are unknown and thresholds that are out of range or contradict each other.

    Raises:
        ConfigError: at the key's path.
    """
    for key, value in (("threshold", config.threshold), ("hold", config.hold)):
        if value is not None:
            _check_threshold(value, f"{path}.{key}")
    for key, table in (("thresholds", config.thresholds), ("holds", config.holds)):
        for label, value in table.items():
            if label not in LABELS:
                raise ConfigError(f"{path}.{key}.{label}", f"unknown label; the labels are {', '.join(LABELS)}")
            _check_threshold(value, f"{path}.{key}.{label}")
    _check_order(config.hold, config.threshold, f"{path}.hold", f"{path}.threshold")
    for label, hold in config.holds.items():
        _check_order(hold, config.thresholds.get(label), f"{path}.holds.{label}", f"{path}.thresholds.{label}")


def check_rule(config: RuleConfig, path: str) -> None:
    """Refuses a rule whose name or actions make no sense; `when` is checked where it is compiled.

    Raises:
        ConfigError: at the key's path.
    """
    if not config.name.strip() or not config.name.isprintable() or len(config.name) > MAX_NAME_LENGTH:
        raise ConfigError(f"{path}.name", f"must be one line of 1 to {MAX_NAME_LENGTH} characters")
    if config.verdict is Verdict.ALLOW and config.actions:
        raise ConfigError(f"{path}.actions", "a rule that allows has no actions; leave them out, or hold")


def check_actions(names: tuple[str, ...], known: frozenset[str], path: str) -> None:
    """Refuses actions that nobody could perform.

    Raises:
        ConfigError: at the entry's path.
    """
    for index, name in enumerate(names):
        if name not in known:
            raise ConfigError(
                f"{path}[{index}]", f"unknown action {name!r}; the actions are {', '.join(sorted(known))}"
            )
        if name in names[:index]:
            raise ConfigError(f"{path}[{index}]", f"{name!r} is named twice; each action is done once")


def _check_threshold(value: float, path: str) -> None:
    if not 0.0 < value <= 1.0:
        raise ConfigError(path, f"{value!r} is no threshold; allowed is a number above 0 and at most 1")


def _check_order(hold: float | None, block: float | None, path: str, block_path: str) -> None:
    if hold is not None and block is not None and hold > block:
        raise ConfigError(
            path, f"{hold!r} is above {block_path} = {block!r}; at most the same is allowed, which never holds"
        )
