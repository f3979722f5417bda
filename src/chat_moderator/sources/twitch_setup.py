"""What `init twitch` asks, and what it looks at: the token, its scopes, the channels, the bot's rights there."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from chat_moderator.errors import TransientError
from chat_moderator.sources.setup import Question, Shortcoming

API: Final = "https://api.twitch.tv/helix"
ID_API: Final = "https://id.twitch.tv/oauth2"
CONSOLE: Final = "https://dev.twitch.tv/console/apps"
SCOPES: Final = (
    "moderator:manage:automod",
    "moderator:manage:banned_users",
    "moderator:manage:chat_messages",
    "moderator:manage:warnings",
    "user:read:chat",
    "user:read:moderated_channels",
    "user:write:chat",
)
"""All that `twitch` needs, and the one that lets this look where the bot is a moderator."""


class TwitchSetup:
    """Implements `Setup`."""

    questions = (
        Question("client_id", f"Client ID ({CONSOLE}, your application, Manage)"),
        Question("client_secret", f"Client secret ({CONSOLE}, your application, Manage, New Secret)", secret=True),
        Question("token", f"User token of the bot's account, with the scopes {' '.join(SCOPES)}", secret=True),
        Question("refresh_token", "Refresh token that came with it", secret=True),
        Question("channels", "Logins of the channels to moderate, with commas between"),
        Question("moderators_channel", "Login of the channel whose chat gets the alerts", optional=True),
    )

    async def examine(self, answers: Mapping[str, str]) -> Sequence[Shortcoming]:
        """See `Setup.examine`."""
        try:
            async with httpx.AsyncClient(timeout=10.0) as client:
                return await _examine(client, answers)
        except httpx.HTTPError as problem:
            raise TransientError(f"Twitch cannot be reached: {type(problem).__name__}") from problem
        except (httpx.InvalidURL, UnicodeEncodeError, ValueError):
            return [_refused()]


async def _examine(client: httpx.AsyncClient, answers: Mapping[str, str]) -> list[Shortcoming]:
    id_api, api = answers.get("id_api", ID_API), answers.get("api", API)
    found = await client.get(f"{id_api}/validate", headers={"Authorization": f"OAuth {answers['token']}"})
    if found.status_code == httpx.codes.UNAUTHORIZED:
        return [_refused()]
    me: dict[str, Any] = found.raise_for_status().json()
    cure = f"Authorise the bot's account anew, with the scopes {' '.join(SCOPES)}."
    if me.get("client_id") != answers["client_id"]:
        return [Shortcoming("The token belongs to another application than client_id.", cure)]
    lacking = [scope for scope in SCOPES if scope not in (me.get("scopes") or ())]
    if lacking:
        return [Shortcoming(f"The token lacks {', '.join(lacking)}.", cure)]
    client.headers.update({"Authorization": f"Bearer {answers['token']}", "Client-Id": answers["client_id"]})
    wanted = {login.lower() for login in answers["channels"].replace(",", " ").split()}
    logins = sorted(wanted | {each.lower() for each in (answers.get("moderators_channel"),) if each})
    users = await client.get(f"{api}/users", params=[("login", login) for login in logins])
    known: dict[str, str] = {each["login"]: each["id"] for each in _data(users)}
    missing = [
        Shortcoming(f"There is no channel {login} on Twitch.", "Give the login that stands in the channel's address.")
        for login in logins
        if login not in known
    ]
    answer = await client.get(f"{api}/moderation/channels", params={"user_id": me["user_id"], "first": "100"})
    moderated = {each["broadcaster_id"] for each in _data(answer)} | {me["user_id"]}
    for login in sorted(wanted & known.keys()):
        if known[login] not in moderated:
            problem = f"{me['login']} is no moderator in the channel {login}."
            missing.append(Shortcoming(problem, f"Its owner writes /mod {me['login']} in the channel's chat."))
    return missing


def _data(answer: httpx.Response) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer.raise_for_status().json().get("data", []) if answer.status_code != BAD else []
    return found


BAD: Final = 400
"""Twitch's answer when one login is none."""


def _refused() -> Shortcoming:
    return Shortcoming("Twitch refuses the token.", "Authorise the bot's account anew, and copy both tokens whole.")
