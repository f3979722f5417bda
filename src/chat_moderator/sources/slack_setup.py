"""What `init slack` asks, and what it looks at: both tokens, their scopes, the moderators' channel."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from chat_moderator.errors import TransientError
from chat_moderator.sources.setup import Question, Shortcoming

API: Final = "https://slack.com/api/"
APPS: Final = "https://api.slack.com/apps"
BOT_SCOPES: Final = ("channels:history", "channels:read", "chat:write", "groups:history", "groups:read", "users:read")
ADMIN_SCOPES: Final = ("chat:write",)


class SlackSetup:
    """Implements `Setup`."""

    questions = (
        Question("token", f"Bot token, xoxb-… ({APPS}, your app, OAuth & Permissions)", secret=True),
        Question("signing_secret", f"Signing secret ({APPS}, your app, Basic Information)", secret=True),
        Question(
            "user_token",
            "User token of an admin, xoxp-…, without which nothing can be deleted",
            secret=True,
            optional=True,
        ),
        Question("moderators_channel", "Id of the moderators' channel (its name, About, at the bottom)", optional=True),
    )

    async def examine(self, answers: Mapping[str, str]) -> Sequence[Shortcoming]:
        """See `Setup.examine`; the signing secret cannot be checked before Slack calls."""
        try:
            async with httpx.AsyncClient(timeout=10.0, base_url=answers.get("api", API)) as client:
                missing = await _token(client, answers["token"], "bot token", BOT_SCOPES)
                if not missing and answers.get("moderators_channel"):
                    missing += await _channel(client, answers["token"], answers["moderators_channel"])
                if answers.get("user_token"):
                    missing += await _token(client, answers["user_token"], "user token", ADMIN_SCOPES)
                else:
                    cure = (
                        f"{APPS}, your app, OAuth & Permissions, User Token Scopes: chat:write; installed by an admin."
                    )
                    missing.append(Shortcoming("Without a user token nothing can be deleted.", cure))
        except httpx.HTTPError as problem:
            raise TransientError(f"Slack cannot be reached: {type(problem).__name__}") from problem
        return missing


async def _token(client: httpx.AsyncClient, token: str, name: str, scopes: Sequence[str]) -> list[Shortcoming]:
    if not token.isascii():
        return [_refused(name, "not_authed")]
    answer = await _call(client, "auth.test", token)
    body: dict[str, Any] = answer.json()
    if not body.get("ok"):
        return [_refused(name, str(body.get("error")))]
    has = {scope.strip() for scope in answer.headers.get("x-oauth-scopes", "").split(",")}
    lacking = [scope for scope in scopes if scope not in has]
    if not lacking:
        return []
    cure = f"{APPS}, your app, OAuth & Permissions, Scopes; then reinstall the app and copy the token anew."
    return [Shortcoming(f"The {name} lacks {', '.join(lacking)}.", cure)]


async def _channel(client: httpx.AsyncClient, token: str, channel: str) -> list[Shortcoming]:
    body: dict[str, Any] = (await _call(client, "conversations.info", token, {"channel": channel})).json()
    if body.get("ok") and body.get("channel", {}).get("is_member"):
        return []
    return [Shortcoming(f"The bot is not in the moderators' channel {channel}.", "Say /invite @the-bot there.")]


async def _call(
    client: httpx.AsyncClient, method: str, token: str, arguments: Mapping[str, str] | None = None
) -> httpx.Response:
    answer = await client.post(method, json=dict(arguments or {}), headers={"authorization": f"Bearer {token}"})
    return answer.raise_for_status()


def _refused(name: str, error: str) -> Shortcoming:
    return Shortcoming(
        f"Slack refuses the {name} ({error}).", f"{APPS}, your app, OAuth & Permissions; copy it whole, or reinstall."
    )
