"""Reads Twitch by EventSub: over its WebSocket, or by signed webhooks where the operator names a public address."""

import asyncio
import logging
import re
import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

import msgspec

from chat_moderator.errors import ConfigError, PermanentError, RefusedError, TransientError, UnauthorizedError
from chat_moderator.protocols import Intake
from chat_moderator.sources.commands import commanded
from chat_moderator.sources.twitch_api import BOT_SCOPE, REFUSED_TOKEN, RefusalError, TwitchConfig
from chat_moderator.sources.twitch_enforcer import TwitchEnforcer
from chat_moderator.sources.twitch_events import AUTOMOD, CHAT, Envelope, Event, message_of
from chat_moderator.sources.twitch_socket import EventSocket
from chat_moderator.sources.webhooks import WINDOW, check_sha256, read
from chat_moderator.types import Message, WebhookAnswer, WebhookCall, now

Config = TwitchConfig

log = logging.getLogger(__name__)

WAITING: Final = 20_000
BATCH: Final = 256
STEADY: Final = 60.0
LONGEST_PAUSE: Final = 60.0
"""Seconds that a connection has to stand for the next one to be made at once, and the longest pause before one."""

BOOKMARK: Final = "read"
KEEP: Final = timedelta(seconds=20)
PRIVILEGED: Final = frozenset({"moderator", "lead_moderator", "broadcaster"})
"""Badges of those whose commands in the moderators' channel count."""

_ENVELOPE: Final = msgspec.json.Decoder(Envelope)


class Twitch(TwitchEnforcer):
    """Implements `Source`, `WebhookSource` and `HoldingEnforcer`. There are no edits on Twitch.

    Raises:
        ConfigError: a key is empty, a login is none, or the webhook's address or secret is not as Twitch wants it.
    """

    media: tuple[str, ...] = ("application/json",)

    def __init__(self, config: TwitchConfig) -> None:
        super().__init__(config)
        for key in ("client_id", "client_secret", "token", "refresh_token"):
            if not re.fullmatch(r"[\x21-\x7e]+", getattr(config, key)):
                raise ConfigError(key, "is needed, as Twitch shows it")
        listed = re.split(r"[,\s]+", config.channels) if isinstance(config.channels, str) else config.channels
        self._logins = tuple(dict.fromkeys(login.lower() for login in listed if login))
        for login in (*self._logins, *filter(None, (config.moderators_channel,))):
            if not re.fullmatch(r"\w{1,25}", login, re.ASCII):
                key = "channels" if login in self._logins else "moderators_channel"
                raise ConfigError(key, f"{login!r} is no login; what stands in the channel's address is needed")
        if not self._logins:
            raise ConfigError("channels", "the login of at least one channel is needed")
        if config.webhook and not config.webhook.startswith("https://"):
            raise ConfigError("webhook", "a public https address is needed, ending in /webhooks/NAME of the connection")
        if (config.webhook or config.webhook_secret) and not re.fullmatch(
            r"[\x20-\x7e]{10,100}", config.webhook_secret
        ):
            raise ConfigError("webhook_secret", "10 to 100 ASCII characters are needed; make them up at random")

    async def run(self, intake: Intake) -> None:
        """See `Source.run`; Twitch replays nothing over its WebSocket, so what was missed is counted."""
        try:
            await self._api.me()
            if self._config.webhook:
                await self._be_called(intake)
            else:
                await self._listen(intake)
        except UnauthorizedError as problem:
            raise PermanentError(REFUSED_TOKEN) from problem

    async def receive(self, call: WebhookCall, intake: Intake) -> WebhookAnswer:
        """See `WebhookSource.receive`: events, the challenge of a new subscription, and revocations."""
        if not self._config.webhook_secret:
            raise RefusedError("the connection has no webhook_secret")
        headers = call.headers
        delivery = headers.get("twitch-eventsub-message-id", "")
        timestamp = headers.get("twitch-eventsub-message-timestamp", "")
        signed = f"{delivery}{timestamp}".encode("latin-1", "replace") + call.body
        given = headers.get("twitch-eventsub-message-signature", "")
        check_sha256(self._config.webhook_secret, signed, given, prefix="sha256=")
        at = _moment(timestamp)
        if at is None or abs(call.at - at) > timedelta(seconds=WINDOW):
            raise RefusedError(f"the timestamp is missing or more than {WINDOW} seconds off")
        envelope = read(_ENVELOPE, call.body)
        match headers.get("twitch-eventsub-message-type", ""):
            case "webhook_callback_verification":
                return WebhookAnswer(body=envelope.challenge.encode(), media="text/plain")
            case "revocation":
                self._revoked(envelope, intake)
            case "notification":
                message = await self._taken(envelope, at, intake)
                if message is not None:
                    await intake.accept((message,), delivery=delivery)
        return WebhookAnswer()

    async def _be_called(self, intake: Intake) -> None:
        config = self._config
        transport = {"method": "webhook", "callback": config.webhook, "secret": config.webhook_secret}
        await self._subscribe(transport, intake, app=True)
        intake.connected()
        await asyncio.Event().wait()

    async def _listen(self, intake: Intake) -> None:
        """Reads, and connects again, until cancelled; each time but the first something may have been missed."""
        pending: asyncio.Queue[Message] = asyncio.Queue(WAITING)
        feeding = asyncio.create_task(self._feed(pending, intake))
        before, pause = await intake.bookmark(BOOKMARK), 0.0
        try:
            while True:
                begun = time.monotonic()
                async with EventSocket(self._api.session, self._config.eventsub) as socket:
                    await self._subscribe({"method": "websocket", "session_id": socket.session}, intake)
                    intake.connected()
                    if before:
                        intake.gap("Twitch does not send again what was written while it was not connected")
                    before = "read"
                    await intake.keep(BOOKMARK, f"{now().timestamp():.0f}")
                    await self._read(socket, pending, intake, feeding)
                pause = 0.0 if time.monotonic() - begun > STEADY else min(2 * pause + 1.0, LONGEST_PAUSE)
                await asyncio.sleep(pause - 1.0 if pause else 0.0)  # the first time at once
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    async def _read(
        self, socket: EventSocket, pending: "asyncio.Queue[Message]", intake: Intake, feeding: "asyncio.Task[None]"
    ) -> None:
        """Returns when the connection is lost."""
        async for frame in socket:
            if feeding.done():
                await feeding
            if frame.metadata.message_type == "revocation":
                self._revoked(frame.payload, intake)
                continue
            at = _moment(frame.metadata.message_timestamp) or now()
            message = await self._taken(frame.payload, at, intake)
            if message is not None:
                await pending.put(message)

    async def _feed(self, pending: "asyncio.Queue[Message]", intake: Intake) -> None:
        kept = now()
        while True:
            batch = [await pending.get()]
            while len(batch) < BATCH and not pending.empty():
                batch.append(pending.get_nowait())
            await intake.accept(batch)
            if now() - kept > KEEP:
                kept = now()
                await intake.keep(BOOKMARK, f"{kept.timestamp():.0f}")

    async def _subscribe(self, transport: dict[str, str], intake: Intake, *, app: bool = False) -> None:
        """Asks for the events of every channel; one that cannot be read is shown and leaves the others alone."""
        me = await self._api.me()
        moderators = self._config.moderators_channel.lower()
        for login in dict.fromkeys((*self._logins, *filter(None, (moderators,)))):
            topic = f"channel {login}"
            try:
                channel = await self._channel_id(login)
                wanted = [(CHAT, "1", {"broadcaster_user_id": channel, "user_id": me})]
                if self._config.automod and login != moderators:
                    wanted.append((AUTOMOD, "2", {"broadcaster_user_id": channel, "moderator_user_id": me}))
                for kind, version, condition in wanted:
                    body = {"type": kind, "version": version, "condition": condition, "transport": transport}
                    await self._api.call("POST", "/eventsub/subscriptions", None, body, app=app)
            except RefusalError as problem:
                if problem.status == HTTPStatus.CONFLICT:
                    continue
                beside = f", and to allow {BOT_SCOPE} to the application" if app else ""
                cure = f"the bot's account has to be a moderator there (/mod in its chat){beside}"
                intake.report(topic, f"channel {login} cannot be read ({problem.text}): {cure}")
            except PermanentError as problem:
                intake.report(topic, str(problem))
            else:
                intake.report(topic, "")

    async def _taken(self, envelope: Envelope, at: datetime, intake: Intake) -> Message | None:
        """The message to judge; None where there is none, or it was a moderator's command."""
        event, me = envelope.event, await self._api.me()
        login = event.broadcaster_user_login.lower()
        if login and login == self._config.moderators_channel.lower():
            await self._take_command(event, intake)
            return None
        message = message_of(envelope.subscription.type, event, at)
        if message is None or message.author.id == me or (message.channel, message.id) in self._released:
            return None
        return (
            None
            if self._config.exempts(
                authors=(message.author.id, event.login, message.author.name),
                channels=(event.broadcaster_user_id, login, event.broadcaster_user_name),
                roles=message.author.roles,
            )
            else message
        )

    async def _take_command(self, event: Event, intake: Intake) -> None:
        found = commanded(event.message.text)
        if found is None or PRIVILEGED.isdisjoint(badge.set_id for badge in event.badges):
            return
        seq, approve = found
        said = await intake.resolve(seq, approve=approve, moderator=f"{event.login} ({event.chatter_user_id})")
        try:
            await self._say(event.broadcaster_user_id, said, reply_to=event.message_id)
        except (PermanentError, TransientError) as problem:
            log.warning("a moderator got no answer: %s", problem)

    def _revoked(self, envelope: Envelope, intake: Intake) -> None:
        channel = envelope.subscription.condition.get("broadcaster_user_id", "")
        login = next((login for login, known in self._ids.items() if known == channel), channel)
        status = envelope.subscription.status
        cure = _REVOKED.get(status, "restart, and look for a newer chat-moderator if it happens again")
        intake.report(f"channel {login}", f"Twitch sends nothing of channel {login} any more ({status}): {cure}")


def _moment(text: str) -> datetime | None:
    """An RFC 3339 time, down to microseconds; None where it is none."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?Z", text, re.ASCII)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(f"{found[1]}{(found[2] or '.0')[:7]:0<7}").replace(tzinfo=UTC)
    except ValueError:
        return None


_REVOKED: Final = {
    "authorization_revoked": "the bot's account took back its permission or changed its password; authorise it anew",
    "user_removed": "the channel's account is gone; take it out of channels",
    "moderator_removed": "the bot's account is no moderator there any more: /mod in its chat, and restart",
    "chat_user_banned": "the bot's account was banned there: lift it, and restart",
    "notification_failures_exceeded": "the webhook answered too slowly; restart once it can be reached",
}
