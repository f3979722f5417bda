"""What `init telegram` asks, and what it looks at: the token, what the bot may read, the moderators' chat."""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from chat_moderator.errors import TransientError
from chat_moderator.sources.setup import Question, Shortcoming

API: Final = "https://api.telegram.org"


class TelegramSetup:
    """Implements `Setup`."""

    questions = (
        Question("token", "Bot token (@BotFather, /newbot or /mybots, API Token)", secret=True),
        Question(
            "moderators_channel",
            "Id or @name of the moderators' chat (forward a message of it to @userinfobot; it begins with -100)",
            optional=True,
        ),
    )

    async def examine(self, answers: Mapping[str, str]) -> Sequence[Shortcoming]:
        """See `Setup.examine`; a bot cannot list its groups, so rights there are shown once it runs."""
        token = answers["token"]
        if not re.fullmatch(r"[0-9]+:[\w-]+", token, re.ASCII):
            return [_refused()]
        logging.getLogger("httpx").setLevel(logging.WARNING)  # below, it logs addresses, which hold the token
        try:
            async with httpx.AsyncClient(timeout=10.0, base_url=f"{answers.get('api', API)}/bot{token}/") as client:
                return await _examine(client, answers.get("moderators_channel", ""))
        except (httpx.HTTPError, ValueError) as problem:
            raise TransientError(f"Telegram cannot be reached: {type(problem).__name__}") from problem


async def _examine(client: httpx.AsyncClient, chat: str) -> list[Shortcoming]:
    me = await _call(client, "getMe")
    if not me.get("ok"):
        return [_refused()]
    missing = []
    if not me["result"].get("can_read_all_group_messages"):
        missing.append(
            Shortcoming(
                "The bot reads only what is addressed to it in groups where it is no administrator.",
                "@BotFather, /setprivacy, your bot, Disable; then add the bot to the group anew.",
            )
        )
    if not chat:
        return missing
    member = await _call(client, "getChatMember", {"chat_id": chat, "user_id": me["result"]["id"]})
    if not member.get("ok") or member["result"].get("status") in {"left", "kicked"}:
        cure = "Add the bot there; its id is shown when you forward a message of it to @userinfobot."
        missing.append(Shortcoming(f"The bot is not in the moderators' chat {chat}.", cure))
    return missing


async def _call(client: httpx.AsyncClient, method: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    answer = await client.post(method, data=dict(arguments or {}))
    if answer.is_server_error:
        answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _refused() -> Shortcoming:
    return Shortcoming("Telegram refuses the token.", "@BotFather, /mybots, your bot, API Token; copy it whole.")
