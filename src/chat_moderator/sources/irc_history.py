"""What an IRC server tells of the past: on joining, or when asked by CHATHISTORY."""

from datetime import UTC, datetime, timedelta
from typing import Final

from chat_moderator.sources.irc_session import IrcSession

CAPABILITY: Final = "draft/chathistory"
PAGE: Final = 100
HISTORY: Final = 1000
"""Messages of a channel that are fetched after an interruption."""

OVERLAP: Final = timedelta(seconds=5)
"""What was read already and is asked for again: servers' clocks differ, and a message has one id."""


class IrcHistory:
    """What one session told of the past, by channel."""

    def __init__(self) -> None:
        self._heard: dict[str, list[tuple[datetime, str]]] = {}

    def heard(self, channel: str, at: datetime, identifier: str) -> None:
        """Something was told; the id is empty where the server gives none."""
        self._heard.setdefault(channel, []).append((at, identifier))

    async def read(self, session: IrcSession, channel: str, since: datetime) -> bool:
        """Asks for what was written since; whether all of it was told."""
        if not session.has(CAPABILITY) or not session.has("batch"):
            return any(at <= since for at, _ in self._heard.get(channel, ()))  # told on joining, from before that on
        limit = session.state.isupport.raw.get("CHATHISTORY") or ""
        page = min(PAGE, int(limit)) if limit.isdecimal() and int(limit) else PAGE
        told = self._heard[channel] = []
        place = f"timestamp={_stamp(since - OVERLAP)}"
        while len(told) < HISTORY:
            before = len(told)
            answers = await session.ask("CHATHISTORY", "AFTER", channel, place, str(page))
            if any(line.command in {"FAIL", "421", "461"} for line in answers):
                return False
            if len(told) - before < page:
                return True
            at, identifier = max(told)
            place = f"msgid={identifier}" if identifier else f"timestamp={_stamp(at)}"
        return False


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
