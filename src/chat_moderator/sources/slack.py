"""Reads Slack through its Events API: signed webhooks with messages, edits and pressed buttons."""

import asyncio
import html
import logging
import re
import urllib.parse
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from chat_moderator.errors import (
    ChatModeratorError,
    ConfigError,
    PermanentError,
    TransientError,
    UnauthorizedError,
)
from chat_moderator.protocols import Intake
from chat_moderator.sources.slack_enforcer import REFUSED_TOKEN, SlackConfig, SlackEnforcer, answered, pressed
from chat_moderator.sources.webhooks import check_sha256, check_time, read
from chat_moderator.types import Author, Message, WebhookAnswer, WebhookCall, now

Config = SlackConfig

log = logging.getLogger(__name__)

WRITTEN: Final = frozenset({"", "bot_message", "file_share", "me_message", "thread_broadcast"})
"""Subtypes of messages that somebody wrote; the others are Slack's own, about joining, topics and the like."""

KNOWN: Final = 20_000
"""Members whose names are remembered."""

NAMING: Final = 1.0
"""Seconds that a name may take; Slack wants its answer within three."""

HISTORY: Final = 1000
LEFT: Final = frozenset({"channel_left", "group_left"})
"""Events that the bot was taken out of a channel."""

BOOKMARK: Final = "newest"
FORM: Final = "application/x-www-form-urlencoded"


class _Event(msgspec.Struct):
    """What a message event holds that we need; an edit holds the message inside."""

    type: str = ""
    subtype: str = ""
    channel: str = ""
    ts: str = ""
    event_ts: str = ""
    user: str = ""
    bot_id: str = ""
    username: str = ""
    text: str = ""
    thread_ts: str = ""
    edited: dict[str, Any] | None = None
    message: "_Event | None" = None
    attachments: list[dict[str, Any]] = []


class _Authorization(msgspec.Struct):
    user_id: str = ""


class _Envelope(msgspec.Struct):
    """The body of a call."""

    type: str
    challenge: str = ""
    team_id: str = ""
    event_id: str = ""
    event: _Event = msgspec.field(default_factory=_Event)
    authorizations: list[_Authorization] | None = None


class _Named(msgspec.Struct):
    id: str = ""
    username: str = ""


class _Pressed(msgspec.Struct):
    ts: str = ""
    blocks: list[dict[str, Any]] = []


class _Press(msgspec.Struct):
    """The payload of a pressed button."""

    type: str
    user: _Named = msgspec.field(default_factory=_Named)
    channel: _Named = msgspec.field(default_factory=_Named)
    message: _Pressed = msgspec.field(default_factory=_Pressed)
    actions: list[dict[str, Any]] = []


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_PRESS: Final = msgspec.json.Decoder(_Press)


class Slack(SlackEnforcer):
    """Implements `Source`, `WebhookSource` and `Enforcer`.

    An edit's revision is the time of its event in microseconds: the time of the edit itself is in whole seconds.

    Raises:
        ConfigError: a token or the signing secret is empty.
    """

    media: tuple[str, ...] = ("application/json", FORM)

    def __init__(self, config: SlackConfig) -> None:
        super().__init__(config)
        for key in ("token", "signing_secret"):
            if not getattr(config, key):
                raise ConfigError(key, "is needed, see Basic Information and OAuth & Permissions of the app")
        self._own: set[str] = set()
        self._members: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._channels: dict[str, str] = {}
        self._behind = False  # while history is read: the bookmark stays where it is

    async def run(self, intake: Intake) -> None:
        """Looks that the tokens are good and reads what was written while nobody listened; the rest is called in."""
        self._refused_until = {False: 0.0, True: 0.0}
        try:
            me = await self._call("auth.test")
            if self._config.user_token:
                await self._call("auth.test", admin=True)
        except UnauthorizedError as problem:
            raise PermanentError(REFUSED_TOKEN) from problem
        self._own |= {str(me.get("user_id", "")), str(me.get("bot_id", ""))}
        kept = await intake.bookmark(BOOKMARK)
        self._behind = bool(kept)
        intake.connected()
        if kept:
            await self._catch_up(intake, kept, str(me.get("team_id", "")))
            self._behind = False
        else:
            await intake.keep(BOOKMARK, f"{now().timestamp():.6f}")
        await asyncio.Event().wait()

    async def receive(self, call: WebhookCall, intake: Intake) -> WebhookAnswer:
        """See `WebhookSource.receive`: events, pressed buttons, and the challenge of a new address."""
        timestamp = call.headers.get("x-slack-request-timestamp", "")
        signed = b"v0:" + timestamp.encode(errors="replace") + b":" + call.body
        check_sha256(self._config.signing_secret, signed, call.headers.get("x-slack-signature", ""), prefix="v0=")
        check_time(timestamp, call.at)
        if call.headers.get("content-type", "").startswith(FORM):
            await self._take_press(call.body, intake)
            return WebhookAnswer()
        envelope = read(_ENVELOPE, call.body)
        if envelope.type == "url_verification":
            return WebhookAnswer(body=msgspec.json.encode({"challenge": envelope.challenge}))
        if envelope.type == "event_callback":
            own = self._own | {each.user_id for each in envelope.authorizations or ()}
            topic, channel = f"channel {envelope.event.channel}", envelope.event.channel
            if envelope.event.type in LEFT:
                cure = "say /invite @the-bot there"
                intake.report(topic, f"the bot was removed from the channel {channel} of Slack: {cure}")
                return WebhookAnswer()
            message = await self._converted(envelope.event, envelope.team_id, own)
            if message is not None:
                intake.report(topic, "")
                await intake.accept((message,), delivery=envelope.event_id)
                if not message.revision and not self._behind:
                    await intake.keep(BOOKMARK, max(message.id, await intake.bookmark(BOOKMARK)))
        return WebhookAnswer()

    async def _take_press(self, body: bytes, intake: Intake) -> None:
        fields = urllib.parse.parse_qs(body.decode(errors="replace"))
        press = read(_PRESS, fields.get("payload", [""])[0].encode())
        found = pressed(press.actions[0]) if press.type == "block_actions" and press.actions else None
        if found is None or press.channel.id != self._config.moderators_channel:
            raise PermanentError("this is no button of an alert")
        seq, approve = found
        moderator = f"{press.user.username} ({press.user.id})"
        said = await intake.resolve(seq, approve=approve, moderator=moderator)
        try:
            blocks = answered(press.message.blocks, said)
            await self._call("chat.update", channel=press.channel.id, ts=press.message.ts, text=said, blocks=blocks)
        except ChatModeratorError as problem:
            log.warning("an alert keeps its buttons: %s", problem)

    async def _converted(self, event: _Event, team: str, own: set[str]) -> Message | None:
        """The message as the domain knows it; None where it is passed over."""
        inner, revision = event, 0
        if event.type == "message" and event.subtype == "message_changed" and event.message is not None:
            inner = event.message
            if inner.edited is None:  # a link's preview
                return None
            revision = _microseconds(event.event_ts or event.ts)
        text = text_of(inner)
        if event.type != "message" or inner.subtype not in WRITTEN or not text or not inner.ts:
            return None
        if {inner.user, inner.bot_id} & (own - {""}):
            return None
        member = await self._member(inner.user)
        name = str(inner.username or member.get("name", ""))
        roles = tuple(role for role, key in _ROLES.items() if member.get(key))
        bot = bool(inner.bot_id or member.get("is_bot"))
        if self._config.exempts(
            authors=(inner.user, inner.bot_id, name), channels=await self._names(event.channel), roles=roles, bot=bot
        ):
            return None
        return Message(
            id=inner.ts,
            text=text,
            platform="slack",
            community=team,
            channel=event.channel,
            author=Author(inner.user or inner.bot_id, name, roles),
            sent_at=datetime.fromtimestamp(_microseconds(inner.ts) / 1e6, UTC),
            revision=revision,
            reply_to=inner.thread_ts if inner.thread_ts not in {"", inner.ts} else None,
        )

    async def _member(self, user: str) -> dict[str, Any]:
        """What Slack says of a member; empty where it does not in time."""
        if not user:
            return {}
        known = self._members.get(user)
        if known is None:
            try:
                async with asyncio.timeout(NAMING):
                    known = (await self._call("users.info", user=user)).get("user", {})
            except (ChatModeratorError, TimeoutError) as problem:
                log.info("a member's name is not known: %s", problem or "Slack is slow")
                return {}
            if len(self._members) >= KNOWN:
                self._members.popitem(last=False)
            self._members[user] = known
        return known

    async def _names(self, channel: str) -> tuple[str, ...]:
        """The channel's id, and its name where the operator exempts channels."""
        if not self._config.exempt_channels:
            return (channel,)
        if channel not in self._channels:
            try:
                async with asyncio.timeout(NAMING):
                    found = await self._call("conversations.info", channel=channel)
            except (ChatModeratorError, TimeoutError) as problem:
                log.info("a channel's name is not known: %s", problem or "Slack is slow")
                return (channel,)
            self._channels[channel] = str(found.get("channel", {}).get("name", ""))
        return channel, self._channels[channel]

    async def _catch_up(self, intake: Intake, after: str, team: str) -> None:
        """Reads every channel of the bot since the bookmark."""
        asked: dict[str, Any] = {"types": "public_channel,private_channel", "limit": 1000, "exclude_archived": True}
        try:
            while True:
                found = await self._patiently("users.conversations", **asked)
                for channel in found.get("channels", ()):
                    await self._read_channel(intake, str(channel["id"]), after, team)
                asked["cursor"] = (found.get("response_metadata") or {}).get("next_cursor")
                if not asked["cursor"]:
                    return
        except ChatModeratorError as problem:
            intake.gap(f"the history could not be read: {problem}")

    async def _patiently(self, method: str, **arguments: Any) -> dict[str, Any]:
        """A call that waits for as long as Slack asks to."""
        while True:
            try:
                return await self._call(method, **arguments)
            except TransientError as problem:
                if problem.retry_after is None or isinstance(problem, UnauthorizedError):
                    raise
                await asyncio.sleep(problem.retry_after.total_seconds())

    async def _read_channel(self, intake: Intake, channel: str, after: str, team: str) -> None:
        if self._config.exempts(channels=await self._names(channel)):
            return
        try:
            found = await self._patiently("conversations.history", channel=channel, oldest=after, limit=HISTORY)
        except PermanentError as problem:
            intake.gap(f"the history of channel {channel} could not be read: {problem}")
            return
        messages = []
        for each in reversed(found.get("messages", ())):
            event = msgspec.convert(each | {"channel": channel, "edited": None}, _Event)
            message = await self._converted(event, team, self._own)
            if message is not None and not each.get("edited"):
                messages.append(message)
            elif message is not None:
                edited = _microseconds(str(each["edited"].get("ts", "")))
                messages.append(msgspec.structs.replace(message, revision=edited))
        if messages:
            await intake.accept(messages)
        if found.get("has_more"):
            intake.gap(f"more than {HISTORY} messages came in channel {channel} meanwhile")


def text_of(event: _Event) -> str:
    """What people read: links by their address and label, entities as characters, a bot's attachments."""
    parts = [event.text, *(str(each.get("text") or "") for each in event.attachments if event.bot_id)]
    text = "\n".join(part for part in parts if part.strip())
    return html.unescape(_LINK.sub(_plain, text)) if text else ""


def _plain(found: "re.Match[str]") -> str:
    sign, target, label = found["sign"] or "", found["target"], found["label"]
    if sign:
        return f"{'#' if sign == '#' else '@'}{(label or target).lstrip('@#')}"
    return f"{label} ({target})" if label and label != target else target


def _microseconds(ts: str) -> int:
    seconds, _, rest = ts.partition(".")
    return int(seconds or 0) * 1_000_000 + int((rest + "000000")[:6])


_LINK: Final = re.compile(r"<(?P<sign>[@#!])?(?P<target>[^<>|]+)(?:\|(?P<label>[^<>]*))?>")
_ROLES: Final = {"admin": "is_admin", "owner": "is_owner", "guest": "is_restricted"}
