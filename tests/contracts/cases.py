"""What the shared suites run over, by registered name: a local server of each platform, and how each signs."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from chat_moderator.testing.sources import Platform
from chat_moderator.testing.webhooks import WebhookCase
from tests.servers.discord import DiscordInteractions, discord_server
from tests.servers.irc import irc_server
from tests.servers.matrix import matrix_server
from tests.servers.slack import SlackButtons, SlackEvents, slack_server
from tests.servers.standard import StandardDeliveries
from tests.servers.telegram import TelegramUpdates, telegram_server
from tests.servers.twitch import TwitchEvents, twitch_server

PLATFORMS: dict[str, Callable[[], AbstractAsyncContextManager[Platform]]] = {
    "discord": discord_server,
    "irc": irc_server,
    "matrix": matrix_server,
    "slack": slack_server,
    "telegram": telegram_server,
    "twitch": twitch_server,
}

WEBHOOKS: dict[str, tuple[Callable[[], WebhookCase], ...]] = {
    "discord": (DiscordInteractions,),
    "slack": (SlackEvents, SlackButtons),
    "telegram": (TelegramUpdates,),
    "twitch": (TwitchEvents,),
}
"""A platform whose calls differ in form has a case of each."""

GENERIC: tuple[Callable[[], WebhookCase], ...] = (StandardDeliveries,)
"""How senders that are no platform sign."""
