"""What `init matrix` asks, and what it looks at: homeserver, token, rooms, encryption, power levels."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from chat_moderator.errors import TransientError
from chat_moderator.sources.setup import Question, Shortcoming

API: Final = "/_matrix/client/v3"
DEFAULTS: Final = {"redact": 50, "state_default": 50}
MOST: Final = 50
"""Rooms that are looked at."""


class MatrixSetup:
    """Implements `Setup`."""

    questions = (
        Question("homeserver", "Address of the homeserver, such as https://matrix.example.org"),
        Question(
            "token", "Access token of the account that moderates (in Element: Settings, Help & About)", secret=True
        ),
        Question("moderators_channel", "Internal id of the moderators' room (its settings, Advanced)", optional=True),
    )

    async def examine(self, answers: Mapping[str, str]) -> Sequence[Shortcoming]:
        """See `Setup.examine`."""
        try:
            async with httpx.AsyncClient(
                base_url=answers["homeserver"].rstrip("/") + API,
                timeout=10.0,
                headers={"authorization": f"Bearer {answers['token']}"},
            ) as client:
                return await _examine(client, answers.get("moderators_channel", ""))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            return [Shortcoming("The homeserver's address is none.", "It begins with https://, without a path.")]
        except UnicodeEncodeError:
            return [_refused()]
        except (httpx.HTTPError, ValueError, KeyError) as problem:
            raise TransientError(f"the homeserver cannot be reached: {type(problem).__name__}") from problem


async def _examine(client: httpx.AsyncClient, moderators: str) -> list[Shortcoming]:
    me = await client.get("/account/whoami")
    if me.status_code in {401, 403}:
        return [_refused()]
    user = str(me.raise_for_status().json()["user_id"])
    rooms: list[str] = (await client.get("/joined_rooms")).raise_for_status().json()["joined_rooms"]
    missing = []
    if moderators and moderators not in rooms:
        missing.append(
            Shortcoming(
                f"{user} is not in the moderators' room {moderators}.", "Invite it there, and join with that account."
            )
        )
    watched = [room for room in rooms if room != moderators]
    if not watched:
        missing.append(Shortcoming(f"{user} is in no room to moderate.", "Invite it, and join with that account."))
    for room in watched[:MOST]:
        missing += _lacking(user, room, (await client.get(f"/rooms/{room}/state")).raise_for_status().json())
    return missing


def _lacking(user: str, room: str, state: list[dict[str, Any]]) -> list[Shortcoming]:
    if any(event["type"] == "m.room.create" and event["content"].get("type") == "m.space" for event in state):
        return []
    found = []
    if any(event["type"] == "m.room.encryption" for event in state):
        found.append(
            Shortcoming(
                f"The room {room} is encrypted, which chat-moderator cannot read.",
                "Encryption cannot be turned off: use a room without it, or put the room into exempt_channels.",
            )
        )
    levels: dict[str, Any] = next((event["content"] for event in state if event["type"] == "m.room.power_levels"), {})
    own = int(levels.get("users", {}).get(user, levels.get("users_default", 0)))
    needed = {
        "redact messages": int(levels.get("redact", DEFAULTS["redact"])),
        "time authors out": int(
            levels.get("events", {}).get("m.room.power_levels", levels.get("state_default", DEFAULTS["state_default"]))
        ),
    }
    lacking = [f"{what} ({level})" for what, level in needed.items() if own < level]
    if lacking and not any(event["type"] == "m.room.member" and event["content"].get("is_direct") for event in state):
        found.append(
            Shortcoming(
                f"In room {room} the power level of {user} is {own}, too low to {' and to '.join(lacking)}.",
                "Room settings, Roles & Permissions: raise it, and above that of whom it is to time out.",
            )
        )
    return found


def _refused() -> Shortcoming:
    return Shortcoming(
        "The homeserver refuses the token.", "Log the account in anew, and copy its access token whole; do not log out."
    )
