"""Which class stands behind a name; imported on first use. Plugins add entry points `chat_moderator.KIND`."""

from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Final

import msgspec

from chat_moderator.errors import ConfigError, MissingExtraError

REGISTRY: Final = MappingProxyType(
    {
        ("action", "alert"): "chat_moderator.actions.alert:AlertAction",
        ("action", "delete"): "chat_moderator.actions.delete:DeleteAction",
        ("action", "hold"): "chat_moderator.actions.hold:HoldAction",
        ("action", "release"): "chat_moderator.actions.release:ReleaseAction",
        ("action", "reply"): "chat_moderator.actions.reply:ReplyAction",
        ("action", "timeout"): "chat_moderator.actions.timeout:TimeoutAction",
        ("action", "undo"): "chat_moderator.actions.undo:UndoAction",
        ("classifier", "encoder"): "chat_moderator.classifiers.encoder:EncoderClassifier",
        ("classifier", "lexicon"): "chat_moderator.classifiers.lexicon:LexiconClassifier",
        ("classifier", "llm"): "chat_moderator.classifiers.llm:LlmClassifier",
        ("classifier", "ngram"): "chat_moderator.classifiers.ngram:NgramClassifier",
        ("classifier", "remote"): "chat_moderator.classifiers.remote:RemoteClassifier",
        ("classifier", "transformers"): "chat_moderator.classifiers.transformers:TransformersClassifier",
        ("queue", "embedded"): "chat_moderator.queues.embedded:EmbeddedQueue",
        ("queue", "kafka"): "chat_moderator.queues.kafka:KafkaQueue",
        ("queue", "memory"): "chat_moderator.queues.memory:MemoryQueue",
        ("queue", "nats"): "chat_moderator.queues.nats:NatsQueue",
        ("queue", "pubsub"): "chat_moderator.queues.pubsub:PubsubQueue",
        ("queue", "redis"): "chat_moderator.queues.redis:RedisQueue",
        ("queue", "sqs"): "chat_moderator.queues.sqs:SqsQueue",
        ("setup", "discord"): "chat_moderator.sources.discord_setup:DiscordSetup",
        ("setup", "irc"): "chat_moderator.sources.irc_setup:IrcSetup",
        ("setup", "matrix"): "chat_moderator.sources.matrix_setup:MatrixSetup",
        ("setup", "slack"): "chat_moderator.sources.slack_setup:SlackSetup",
        ("setup", "telegram"): "chat_moderator.sources.telegram_setup:TelegramSetup",
        ("setup", "twitch"): "chat_moderator.sources.twitch_setup:TwitchSetup",
        ("sink", "jsonl"): "chat_moderator.sinks.jsonl:JsonlSink",
        ("sink", "webhook"): "chat_moderator.sinks.webhook:WebhookSink",
        ("source", "discord"): "chat_moderator.sources.discord:Discord",
        ("source", "irc"): "chat_moderator.sources.irc:Irc",
        ("source", "matrix"): "chat_moderator.sources.matrix:Matrix",
        ("source", "replay"): "chat_moderator.sources.replay:ReplaySource",
        ("source", "slack"): "chat_moderator.sources.slack:Slack",
        ("source", "telegram"): "chat_moderator.sources.telegram:Telegram",
        ("source", "twitch"): "chat_moderator.sources.twitch:Twitch",
        ("source", "webchat"): "chat_moderator.sources.webchat:WebChat",
        ("store", "postgres"): "chat_moderator.store.postgres:PostgresStore",
        ("store", "sqlite"): "chat_moderator.store.database:Database",
    }
)
"""Sorted by kind and name."""


def names(kind: str) -> list[str]:
    """Every name of a kind, plugins included."""
    plugins = (entry.name for entry in entry_points(group=f"chat_moderator.{kind}"))
    return sorted({*(name for known, name in REGISTRY if known == kind), *plugins})


def load(kind: str, name: str, *, path: str) -> type[Any]:
    """The class behind a name.

    Args:
        kind: action, classifier, queue, sink, source or store.
        name: the registered name.
        path: where in the configuration the name stands, for the error.

    Raises:
        ConfigError: nothing is registered under that name.
        MissingExtraError: its library is not installed.
    """
    target = REGISTRY.get((kind, name))
    if target is None:
        plugin = next((entry for entry in entry_points(group=f"chat_moderator.{kind}") if entry.name == name), None)
        if plugin is None:
            raise ConfigError(path, f"there is no {kind} {name!r}; there are {', '.join(names(kind))}")
        target = plugin.value
    module, _, attribute = target.partition(":")
    try:
        loaded: type[Any] = getattr(import_module(module), attribute)
    except ModuleNotFoundError as problem:
        if (problem.name or "").startswith("chat_moderator"):
            raise
        raise MissingExtraError(f"{kind} {name!r}", name) from problem
    return loaded


def configure(kind: str, name: str, table: dict[str, Any], *, path: str) -> tuple[type[Any], Any]:
    """The class behind a name and its `Config` (None where the module has none), from a table of the configuration.

    Raises:
        ConfigError: the name, a key or a value is not known.
    """
    loaded = load(kind, name, path=f"{path}.type")
    config = getattr(import_module(loaded.__module__), "Config", None)
    if config is None:
        if table:
            raise ConfigError(path, f"{kind} {name!r} takes no settings, there are {', '.join(table)}")
        return loaded, None
    try:
        return loaded, msgspec.convert(table, config)
    except msgspec.ValidationError as problem:
        raise ConfigError(path, str(problem)) from problem
