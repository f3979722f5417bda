"""Alerts human moderators through an incoming webhook: our own signed one, Slack's or Discord's."""

from enum import StrEnum
from typing import Final

import msgspec

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
    """Posts one alert a message. An alert that may have arrived is not sent again."""

    repeatable = False

    def __init__(self, config: Config) -> None:
        self._config = config
        self._poster = SignedPoster(config.url, config.secret, path="actions.alert")

    async def perform(self, record: Record, enforcer: Enforcer) -> Outcome:  # noqa: ARG002 -- it needs no platform
        """See `Action.perform`."""
        await self._poster.post(msgspec.json.encode(self._body(record)), delivery=f"alert_{record.seq}")
        return Outcome("alert", OutcomeState.DONE)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._poster.aclose()

    def _body(self, record: Record) -> dict[str, object]:
        if self._config.format is Format.SIGNED:
            return {"type": "alert", "record": record}
        text = _text(record)
        if self._config.format is Format.SLACK:
            return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
        return {"content": text[:DISCORD_LIMIT], "allowed_mentions": {"parse": []}}


DISCORD_LIMIT: Final = 2000


def _text(record: Record) -> str:
    message, decision = record.message, record.decision
    where = " / ".join(part for part in (message.platform, message.community, message.channel) if part)
    who = message.author.name or message.author.id or "somebody"
    why = f"{decision.rule}, {decision.score:.2f}"
    return f"{decision.verdict}: {who} in {where} ({why}), record {record.seq}\n{message.text}"
