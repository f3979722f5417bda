"""What EventSub sends, by WebSocket and by webhook, as far as it is needed."""

from datetime import datetime
from typing import Final

import msgspec

from chat_moderator.types import HELD, Author, Message

CHAT: Final = "channel.chat.message"
AUTOMOD: Final = "automod.message.hold"


class _Text(msgspec.Struct):
    text: str = ""


class _Badge(msgspec.Struct):
    set_id: str = ""


class _Reply(msgspec.Struct):
    parent_message_id: str = ""


class Event(msgspec.Struct):
    """A message that was written, or one that AutoMod holds."""

    broadcaster_user_id: str = ""
    broadcaster_user_login: str = ""
    broadcaster_user_name: str = ""
    chatter_user_id: str = ""
    chatter_user_login: str = ""
    chatter_user_name: str = ""
    user_id: str = ""
    user_login: str = ""
    user_name: str = ""
    message_id: str = ""
    message: _Text = msgspec.field(default_factory=_Text)
    badges: list[_Badge] = []
    reply: _Reply | None = None

    @property
    def login(self) -> str:
        """Of its author."""
        return self.chatter_user_login or self.user_login


class Subscription(msgspec.Struct):
    """What was asked for."""

    type: str = ""
    status: str = ""
    condition: dict[str, str] = {}


class Envelope(msgspec.Struct):
    """The body of a webhook call, and the payload of a frame."""

    subscription: Subscription = msgspec.field(default_factory=Subscription)
    event: Event = msgspec.field(default_factory=Event)
    challenge: str = ""


def message_of(kind: str, event: Event, at: datetime) -> Message | None:
    """The message as the domain knows it; None where there is no text, or it is no message."""
    if kind not in {CHAT, AUTOMOD} or not event.message.text.strip() or not event.message_id:
        return None
    badges = tuple(badge.set_id for badge in event.badges)
    return Message(
        id=f"{HELD}{event.message_id}" if kind == AUTOMOD else event.message_id,
        text=event.message.text,
        platform="twitch",
        community=event.broadcaster_user_id,
        channel=event.broadcaster_user_id,
        author=Author(
            event.chatter_user_id or event.user_id, event.chatter_user_name or event.user_name or event.login, badges
        ),
        sent_at=at,
        reply_to=event.reply.parent_message_id or None if event.reply is not None else None,
    )
