"""What `init discord` asks, and what it looks at: token, intent, servers, permissions, the moderators' channel."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from chat_moderator.errors import TransientError
from chat_moderator.sources.setup import Question, Shortcoming

API: Final = "https://discord.com/api/v10"
PORTAL: Final = "https://discord.com/developers/applications"
PERMISSIONS: Final = {
    "View Channels": 1 << 10,
    "Send Messages": 1 << 11,
    "Manage Messages": 1 << 13,
    "Read Message History": 1 << 16,
    "Moderate Members": 1 << 40,
}
ADMINISTRATOR: Final = 1 << 3
MESSAGE_CONTENT: Final = (1 << 18) | (1 << 19)
"""The flags of an application that has the intent, with more than 100 servers or fewer."""


class DiscordSetup:
    """Implements `Setup`."""

    questions = (
        Question("token", f"Bot token ({PORTAL}, your application, Bot, Reset Token)", secret=True),
        Question("moderators_channel", "Id of the moderators' channel (right-click, Copy Channel ID)", optional=True),
    )

    async def examine(self, answers: Mapping[str, str]) -> Sequence[Shortcoming]:
        """See `Setup.examine`."""
        headers = {"authorization": f"Bot {answers['token']}"}
        try:
            async with httpx.AsyncClient(timeout=10.0, headers=headers) as client:
                return await _examine(client, answers.get("api", API), answers.get("moderators_channel", ""))
        except httpx.HTTPError as problem:
            raise TransientError(f"Discord cannot be reached: {type(problem).__name__}") from problem
        except (httpx.InvalidURL, UnicodeEncodeError, ValueError):
            return [_refused()]


async def _examine(client: httpx.AsyncClient, api: str, channel: str) -> list[Shortcoming]:
    application = await client.get(f"{api}/applications/@me")
    if application.status_code in {401, 403}:
        return [_refused()]
    found: dict[str, Any] = application.raise_for_status().json()
    missing = []
    if not int(found.get("flags", 0)) & MESSAGE_CONTENT:
        missing.append(
            Shortcoming(
                "The bot may not read what is written: the Message Content intent is off.",
                f"{PORTAL}/{found['id']}/bot, Privileged Gateway Intents, Message Content Intent.",
            )
        )
    invitation = f"https://discord.com/oauth2/authorize?client_id={found['id']}&scope=bot&permissions={sum(PERMISSIONS.values())}"
    guilds: list[dict[str, Any]] = (await client.get(f"{api}/users/@me/guilds")).raise_for_status().json()
    if not guilds:
        missing.append(Shortcoming("The bot is in no server.", f"Open {invitation}"))
    for guild in guilds:
        has = int(guild.get("permissions", 0))
        lacking = [name for name, bit in PERMISSIONS.items() if not has & (bit | ADMINISTRATOR)]
        if lacking:
            cure = f"Server Settings, Roles, the bot's role; or invite it again: {invitation}"
            missing.append(Shortcoming(f"In {guild['name']} the bot lacks {', '.join(lacking)}.", cure))
    if channel and not (await client.get(f"{api}/channels/{httpx.URL(path=channel).path}")).is_success:
        missing.append(
            Shortcoming(
                f"The moderators' channel {channel} cannot be seen by the bot.",
                "Copy its id anew, and give the bot's role View Channel and Send Messages there.",
            )
        )
    return missing


def _refused() -> Shortcoming:
    return Shortcoming("Discord refuses the token.", f"{PORTAL}, your application, Bot, Reset Token; copy it whole.")
