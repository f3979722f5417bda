"""Alerts human moderators: in the moderators' channel of the message's connection, else through an incoming webhook."""

from enum import StrEnum
from typing import Final

import msgspec

from chat_moderator.errors import SkippedError
from chat_moderator.net import SignedPoster
from chat_moderator.protocols import Enforcer
from chat_moderator.types import Outcome, OutcomeState, Record, Struct


class Format(StrEnum):
    """The body of an alert."""

    SIGNED = "signed"
    SLACK = "slack"
    DISCORD = "discord"


class Config(Struct, frozen=True):
    """`url`: of the incoming webhook; `format`: signed, slack or discord; `secret`: signs a signed one."""

    url: str
    format: Format = Format.SIGNED
    secret: str = ""


class AlertAction:
    """Shows one alert a message. An alert that may have arrived is not sent again.

    Args:
        config: of the webhook that takes the alerts of connections without a moderators' channel; None: there is none.
    """

    repeatable = False

    def __init__(self, config: Config | None = None) -> None:
        self._format = config.format if config is not None else Format.SIGNED
        self._poster = SignedPoster(config.url, config.secret, path="actions.alert") if config is not None else None

    async def perform(self, record: Record, enforcer: Enforcer) -> Outcome:
        """See `Action.perform`."""
        if await enforcer.alert(record):
            return Outcome("alert", OutcomeState.DONE)
        if self._poster is None:
            raise SkippedError("the connection has no moderators_channel, and there is no [actions.alert]")
        await self._poster.post(msgspec.json.encode(self._body(record)), delivery=f"alert_{record.seq}")
        return Outcome("alert", OutcomeState.DONE)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._poster is not None:
            await self._poster.aclose()

    def _body(self, record: Record) -> dict[str, object]:
        if self._format is Format.SIGNED:
            return {"type": "alert", "record": record}
        text = _text(record)
        if self._format is Format.SLACK:
            return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
        return {"content": text[:DISCORD_LIMIT], "allowed_mentions": {"parse": []}}


DISCORD_LIMIT: Final = 2000


def _text(record: Record) -> str:
    message, decision = record.message, record.decision
    where = " / ".join(part for part in (message.platform, message.community, message.channel) if part)
    who = message.author.name or message.author.id or "somebody"
    why = f"{decision.rule}, {decision.score:.2f}"
    return f"{decision.verdict}: {who} in {where} ({why}), record {record.seq}\n{message.text}"
