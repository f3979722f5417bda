"""`moderator.toml` and the environment, as typed settings; every error names the key's path and what is allowed."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from chat_moderator.errors import ConfigError
from chat_moderator.moderator.outbox import Config as OutboxConfig
from chat_moderator.moderator.worker import Config as WorkerConfig
from chat_moderator.policy.config import CommunityConfig, PolicyConfig, with_threshold
from chat_moderator.sources.webchat import Config as ChatConfig
from chat_moderator.types import Struct

THRESHOLD: Final = "TOXICITY_THRESHOLD"

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class ServerSettings(Struct, frozen=True):
    """Where the server listens.

    `trusted_proxies`: addresses whose forwarding headers count; `origins`: pages of other hosts that may call;
    `prefix`: what a proxy puts before every path and does not take away.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    trusted_proxies: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    prefix: str = ""


class CascadeSettings(Struct, frozen=True):
    """Classifiers by registry name, cheapest first; those in `hints` may only ever hold.

    A cheap tier answers alone where that changes at most the share `max_disagreement` of verdicts and lets through at
    most the share `max_missed` of what the last tier would act on. `exits`: "bundled", or a file that
    `chat-moderator evaluate --cascade --write` wrote. `join_within`: seconds within which short messages of one author
    in one channel are also read as one; 0 never.
    """

    tiers: tuple[str, ...] = ("ngram",)
    hints: tuple[str, ...] = ("lexicon",)
    max_disagreement: Share = 0.005
    max_missed: Share = 0.05
    exits: str = "bundled"
    join_within: Annotated[float, msgspec.Meta(ge=0)] = 30.0


class RetentionSettings(Struct, frozen=True):
    """`days` that the audit is kept; 0 keeps it for ever."""

    days: int = 90


class WebhookSettings(Struct, frozen=True):
    """Incoming webhooks: Standard Webhooks secrets, several while one is replaced; refused while there are none."""

    secrets: tuple[str, ...] = ()
    tolerance: int = 300  # seconds that a timestamp may be off


class LogSettings(Struct, frozen=True):
    """`format`: console or json; `level`: debug, info, warning or error."""

    format: str = "console"
    level: str = "info"


class Settings(Struct, frozen=True):
    """All of `moderator.toml`; a missing file is this with nothing said."""

    server: ServerSettings = ServerSettings()
    sources: tuple[dict[str, Any], ...] = ()
    queue: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "embedded"})
    store: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "sqlite"})
    cascade: CascadeSettings = CascadeSettings()
    classifiers: dict[str, dict[str, Any]] = {}
    policy: PolicyConfig = PolicyConfig()
    communities: dict[str, CommunityConfig] = {}
    actions: dict[str, dict[str, Any]] = {}
    sinks: tuple[dict[str, Any], ...] = ()
    functions: dict[str, dict[str, Any]] = {}
    worker: WorkerConfig = WorkerConfig()
    outbox: OutboxConfig = OutboxConfig()
    chat: ChatConfig = ChatConfig()
    webhooks: WebhookSettings = WebhookSettings()
    retention: RetentionSettings = RetentionSettings()
    log: LogSettings = LogSettings()


def read(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a file, the built-in ones where `path` is None; the environment's threshold wins.

    Raises:
        ConfigError: the file is missing, is not TOML, or holds an unknown key or a wrong value.
    """
    settings = _converted(_table(path), environment)
    if THRESHOLD in environment:
        try:
            threshold = float(environment[THRESHOLD])
        except ValueError as problem:
            raise ConfigError(
                THRESHOLD, f"{environment[THRESHOLD]!r} is not a number above 0 and at most 1"
            ) from problem
        settings = msgspec.structs.replace(settings, policy=with_threshold(settings.policy, threshold))
    return settings


def read_store(path: Path | None, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Only the table `[store]` of a file: who looks into the store need not know the secrets of platforms.

    Raises:
        ConfigError: as `read`.
    """
    table = _table(path)
    return _converted({"store": table["store"]} if "store" in table else {}, environment).store


def threshold_from_environment(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment sets the global threshold."""
    return THRESHOLD in environment


def _table(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise ConfigError(str(path), f"cannot be read: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(str(path), f"is not TOML: {problem}") from problem


def _converted(table: dict[str, Any], environment: Mapping[str, str]) -> Settings:
    try:
        return msgspec.convert(_substituted(table, environment, ""), Settings)
    except msgspec.ValidationError as problem:
        raise _located(problem) from problem


def _substituted(value: Any, environment: Mapping[str, str], path: str) -> Any:
    """Replaces `${NAME}` in strings by the environment's value."""
    if isinstance(value, dict):
        return {key: _substituted(inner, environment, f"{path}.{key}".lstrip(".")) for key, inner in value.items()}
    if isinstance(value, list):
        return [_substituted(inner, environment, f"{path}[{index}]") for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in _VARIABLE.findall(value):
        if name not in environment:
            raise ConfigError(path, f"the environment has no {name}, which ${{{name}}} stands for")
    return _VARIABLE.sub(lambda match: environment[match[1]], value)


def _located(problem: msgspec.ValidationError) -> ConfigError:
    text, _, place = str(problem).partition(" - at `$.")
    path = place.rstrip("`")
    unknown = re.search(r"unknown field `(\w+)`", text)
    if unknown:
        path = f"{path}.{unknown[1]}".lstrip(".")
        return ConfigError(path, f"there is no such key{_known(path)}")
    return ConfigError(path, text[0].lower() + text[1:])


def _known(path: str) -> str:
    kind: Any = Settings
    for part in path.split(".")[:-1]:
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
        kind = fields.get(re.sub(r"\[.*", "", part))
        if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
            return ""
    return f"; there are {', '.join(field.name for field in msgspec.structs.fields(kind))}"


_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
