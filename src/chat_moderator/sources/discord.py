"""Reads Discord through its Gateway, and takes its interactions by webhook where the operator prefers that."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

import aiohttp
import msgspec
import yarl

from chat_moderator.errors import ConfigError, PermanentError, RefusedError, TransientError
from chat_moderator.protocols import Intake
from chat_moderator.sources.discord_alerts import answered, pressed
from chat_moderator.sources.discord_enforcer import (
    EPOCH,
    REFUSED_TOKEN,
    DiscordConfig,
    DiscordEnforcer,
    translated,
)
from chat_moderator.sources.discord_library import (
    BadSignatureError,
    DiscordWebSocket,
    Route,
    VerifyKey,
    discord,
)
from chat_moderator.sources.discord_limits import DiscordLimits
from chat_moderator.sources.webhooks import check_time, read
from chat_moderator.types import Author, Message, WebhookAnswer, WebhookCall, now

Config = DiscordConfig

log = logging.getLogger(__name__)

BATCH: Final = 256
WAITING: Final = 20_000
"""Messages that may wait for the queue; what comes beyond is fetched from the channels' history afterwards."""

OVERLAP: Final = timedelta(minutes=5)
"""How far before the bookmark history is read again: events arrive in any order, and edits are seen that way."""

HISTORY: Final = 1000
"""Messages of a channel that are fetched after an interruption."""

BOOKMARK: Final = "newest"
CLOSED: Final = {
    4004: REFUSED_TOKEN,
    4013: "Discord does not know an intent: chat-moderator is too old for it",
    4014: (
        "the bot lacks the Message Content intent: turn it on at https://discord.com/developers/applications, Bot, "
        "Privileged Gateway Intents"
    ),
}


class Discord(DiscordEnforcer):
    """Implements `Source`, `WebhookSource` and `Enforcer`.

    An edit's revision is the time of the edit in milliseconds, as Discord tells it. A thread counts as its channel.

    Raises:
        ConfigError: `moderators_channel` is no id, or `public_key` no key.
    """

    media: tuple[str, ...] = ("application/json",)

    def __init__(self, config: DiscordConfig, *, limits: DiscordLimits | None = None) -> None:
        super().__init__(config, limits=limits)
        if config.moderators_channel and not config.moderators_channel.isdigit():
            raise ConfigError("moderators_channel", "the channel's id is needed: right-click it, Copy Channel ID")
        try:
            self._key = VerifyKey(bytes.fromhex(config.public_key)) if config.public_key else None
        except ValueError as problem:
            raise ConfigError(
                "public_key", "64 hexadecimal digits are needed, as General Information of the application shows them"
            ) from problem

    async def run(self, intake: Intake) -> None:
        """See `Source.run`; resumes after a lost connection, and reads the channels' history where it cannot."""
        reading = _Reading(self._config, intake, trace=self._limits.trace)
        try:
            await reading.read()
        except discord.LoginFailure as problem:
            raise PermanentError(REFUSED_TOKEN) from problem
        except discord.PrivilegedIntentsRequired as problem:
            raise PermanentError(CLOSED[4014]) from problem
        except discord.ConnectionClosed as problem:
            if problem.code in CLOSED:
                raise PermanentError(CLOSED[problem.code]) from problem
            raise TransientError(f"Discord closed the connection with {problem.code}") from problem
        except (discord.HTTPException, discord.GatewayNotFound, aiohttp.ClientError, OSError) as problem:
            raise translated(problem, "View Channels", "") from problem
        finally:
            await reading.close()

    async def receive(self, call: WebhookCall, intake: Intake) -> WebhookAnswer:
        """See `WebhookSource.receive`: pressed buttons, where the application has an Interactions Endpoint URL."""
        if self._key is None:
            raise RefusedError("the connection has no public_key")
        timestamp = call.headers.get("x-signature-timestamp", "")
        try:
            signature = bytes.fromhex(call.headers.get("x-signature-ed25519", ""))
            self._key.verify(timestamp.encode(errors="replace") + call.body, signature)
        except (BadSignatureError, ValueError) as problem:
            raise RefusedError("the signature does not fit the body") from problem
        check_time(timestamp, call.at)
        interaction = read(_INTERACTION, call.body)
        if interaction.type == PING:
            return WebhookAnswer(body=b'{"type":1}')
        member = interaction.member or _Member()
        answer = await answer_press(
            self._config,
            intake,
            channel=interaction.channel_id,
            custom_id=interaction.data.custom_id,
            moderator=f"{member.user.username} ({member.user.id})",
            content=interaction.message.content,
        )
        return WebhookAnswer(body=msgspec.json.encode(answer))


async def answer_press(
    config: DiscordConfig, intake: Intake, *, channel: str, custom_id: str, moderator: str, content: str
) -> dict[str, Any]:
    """Takes a moderator's word; the response that Discord wants: the alert, without its buttons.

    Raises:
        PermanentError: it was no button of ours in the moderators' channel.
    """
    found = pressed(custom_id)
    if found is None or channel != config.moderators_channel:
        raise PermanentError("this is no button of an alert")
    seq, approve = found
    said = await intake.resolve(seq, approve=approve, moderator=moderator)
    return {"type": UPDATE_MESSAGE, "data": answered(content, said)}


class _Reading(discord.AutoShardedClient):
    """One run of the source: the library's client, and the messages that wait for the intake."""

    def __init__(self, config: DiscordConfig, intake: Intake, *, trace: aiohttp.TraceConfig) -> None:
        intents = discord.Intents(guilds=True, guild_messages=True, message_content=True)
        super().__init__(
            intents=intents,
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            guild_ready_timeout=0.3,
            max_ratelimit_timeout=30.0,
            http_trace=trace,
            enable_debug_events=False,
        )
        self._own = config
        self._intake = intake
        self._pending: asyncio.Queue[Message] = asyncio.Queue(WAITING)
        self._overflown = False
        self._behind: set[int] = set()  # servers whose history is being read: the bookmark stays where it is
        self._catching_up: set[asyncio.Task[None]] = set()
        self._floor = 0
        self._newest = 0
        # The library takes every update for a whole message, and ends at one that is not.
        parsers = self._connection.parsers
        whole = parsers["MESSAGE_UPDATE"]
        parsers["MESSAGE_UPDATE"] = lambda data: whole(data) if "author" in data and "content" in data else None

    async def read(self) -> None:
        """Reads until it is cancelled or the connection cannot be had."""
        kept = await self._intake.bookmark(BOOKMARK)
        self._floor = self._newest = int(kept) if kept else _snowflake(now().timestamp())
        if not kept:
            await self._intake.keep(BOOKMARK, str(self._floor))
        await self.login(self._own.token)
        _, address, _ = await self.http.get_bot_gateway()
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(address)
        connection = asyncio.create_task(self.connect())
        feeding = asyncio.create_task(self._feed())
        try:
            await asyncio.wait({connection, feeding}, return_when=asyncio.FIRST_COMPLETED)
            for task in (connection, feeding):
                if task.done():
                    await task
        finally:
            for task in (connection, feeding, *self._catching_up):
                task.cancel()
            await asyncio.gather(connection, feeding, *self._catching_up, return_exceptions=True)

    async def on_shard_connect(self, _: int) -> None:
        """A new session: what was said before it is in the channels' history."""
        self._behind |= {guild.id for guild in self.guilds}
        self._intake.connected()

    async def on_shard_resumed(self, _: int) -> None:
        """The session goes on, and Discord sends again what was missed."""
        self._intake.connected()

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """A server's channels are known, at the start and after an outage of Discord."""
        self._intake.report(f"server {guild.id}", "")
        self._catch_up((guild,))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """The bot was invited, perhaps again: what was said before is not its to read."""
        self._intake.report(f"server {guild.id}", "")

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """The bot was removed."""
        self._behind.discard(guild.id)
        self._intake.report(
            f"server {guild.id}", f"the bot was removed from the server {guild.name} ({guild.id}): invite it again"
        )

    async def on_message(self, message: discord.Message) -> None:
        """A new message."""
        self._take(message)

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        """An edit; what Discord adds to a message, such as a link's preview, is none."""
        if event.message.edited_at is not None:
            self._take(event.message)

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """A pressed button."""
        data: Any = interaction.data or {}
        try:
            answer = await answer_press(
                self._own,
                self._intake,
                channel=str(interaction.channel_id),
                custom_id=str(data.get("custom_id", "")),
                moderator=f"{interaction.user.name} ({interaction.user.id})",
                content=interaction.message.content if interaction.message is not None else "",
            )
            path = "/interactions/{interaction_id}/{token}/callback"
            route = Route("POST", path, interaction_id=interaction.id, token=interaction.token)
            await self.http.request(route, json=answer)
        except PermanentError as problem:
            log.warning("an interaction was left alone: %s", problem)

    async def on_error(self, event: str, /, *_: object, **__: object) -> None:
        """What went wrong in one of these, without the message that it was about."""
        log.exception("the event %s failed in a way that was not foreseen", event)  # noqa: LOG004 -- called by one

    def _take(self, message: discord.Message) -> None:
        converted = self._converted(message)
        if converted is None:
            return
        try:
            self._pending.put_nowait(converted)
        except asyncio.QueueFull:
            if not self._overflown:
                log.warning("messages come faster than they can be queued; they are fetched when there is room")
            self._overflown = True

    async def _feed(self) -> None:
        while True:
            batch = [await self._pending.get()]
            while len(batch) < BATCH and not self._pending.empty():
                batch.append(self._pending.get_nowait())
            await self._intake.accept(batch)
            self._newest = max(self._newest, *(int(message.id.rpartition(":")[2]) for message in batch))
            if self._overflown and self._pending.empty():
                self._overflown = False
                self._catch_up(self.guilds)
            if not self._behind and not self._overflown and not self._catching_up:
                await self._keep()

    async def _keep(self) -> None:
        self._floor = self._newest
        await self._intake.keep(BOOKMARK, str(self._newest))

    def _catch_up(self, guilds: Iterable[discord.Guild]) -> None:
        for guild in guilds:
            task = asyncio.create_task(self._read_history(guild))
            self._catching_up.add(task)
            task.add_done_callback(self._catching_up.discard)

    async def _read_history(self, guild: discord.Guild) -> None:
        after = discord.Object(max(0, self._floor - (int(OVERLAP.total_seconds() * 1000) << 22)))
        channels: tuple[Any, ...] = (*guild.text_channels, *guild.voice_channels, *guild.stage_channels, *guild.threads)
        for channel in channels:
            if (channel.last_message_id or 0) > after.id and not self._exempt_channel(channel):
                await self._read_channel(channel, after)
        self._behind.discard(guild.id)

    async def _read_channel(self, channel: Any, after: discord.Object) -> None:
        topic, count = f"channel {channel.id}", 0
        try:
            while True:
                try:
                    async for message in channel.history(limit=HISTORY - count, after=after, oldest_first=True):
                        count, after = count + 1, discord.Object(message.id)
                        converted = self._converted(message)
                        if converted is not None:
                            await self._pending.put(converted)
                    break
                except (discord.RateLimited, TransientError) as problem:
                    await asyncio.sleep(_wait_of(problem))
        except discord.Forbidden:
            self._intake.report(
                topic,
                f"#{channel.name} ({channel.id}) of {channel.guild.name} cannot be read after an interruption: "
                "give the bot View Channel and Read Message History there, or put the channel into exempt_channels",
            )
        except (discord.HTTPException, aiohttp.ClientError, OSError) as problem:
            self._intake.gap(f"the history of channel {channel.id} could not be read: {type(problem).__name__}")
        else:
            self._intake.report(topic, "")
            if count == HISTORY:
                self._intake.gap(f"more than {HISTORY} messages came in channel {channel.id} meanwhile")

    def _exempt_channel(self, channel: Any) -> bool:
        return self._own.exempts(channels=_names_of(channel))

    def _converted(self, message: discord.Message) -> Message | None:
        """The message as the domain knows it; None where it is passed over."""
        text, author, guild = text_of(message), message.author, message.guild
        if not text or guild is None or (self.user is not None and author.id == self.user.id):
            return None
        roles = [role for role in getattr(author, "roles", ()) if not role.is_default()]
        role_names = tuple(role.name for role in roles)
        bot = author.bot or message.webhook_id is not None
        if self._own.exempts(
            authors=(str(author.id), author.name),
            channels=_names_of(message.channel),
            roles=(*role_names, *(str(role.id) for role in roles)),
            bot=bot,
        ):
            return None
        parent = message.channel.parent_id if isinstance(message.channel, discord.Thread) else None
        reference = message.reference.message_id if message.reference is not None else None
        thread = f"{message.channel.id}:" if parent is not None else ""
        edited = message.edited_at
        return Message(
            id=f"{thread}{message.id}",
            text=text,
            platform="discord",
            community=str(guild.id),
            channel=str(parent if parent is not None else message.channel.id),
            author=Author(str(author.id), author.display_name, role_names, getattr(author, "joined_at", None)),
            sent_at=message.created_at,
            revision=round(edited.timestamp() * 1000) if edited is not None else 0,
            reply_to=f"{thread}{reference}" if reference is not None else None,
        )


def text_of(message: discord.Message) -> str:
    """All that people read in a message: its text, what it forwards, and its poll."""
    parts = [message.content, *(snapshot.content for snapshot in message.message_snapshots)]
    if message.poll is not None:
        parts += [message.poll.question, *(answer.text for answer in message.poll.answers)]
    return "\n".join(part for part in parts if part and part.strip())


def _names_of(channel: Any) -> tuple[str, ...]:
    """All by which an operator may name a channel; a thread's is its channel's too."""
    parent = getattr(channel, "parent", None)
    return tuple(
        name for each in (channel, parent) if each is not None for name in (str(each.id), getattr(each, "name", ""))
    )


def _wait_of(problem: discord.RateLimited | TransientError) -> float:
    """Seconds that Discord asks to wait."""
    wait = problem.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else wait or 1.0


def _snowflake(at: float) -> int:
    return (int(at * 1000) - EPOCH) << 22


class _User(msgspec.Struct):
    id: str = ""
    username: str = ""


class _Member(msgspec.Struct):
    user: _User = msgspec.field(default_factory=_User)


class _Data(msgspec.Struct):
    custom_id: str = ""


class _Alert(msgspec.Struct):
    content: str = ""


class _Interaction(msgspec.Struct):
    """What a webhook interaction holds that we need."""

    type: int
    channel_id: str = ""
    member: _Member | None = None
    data: _Data = msgspec.field(default_factory=_Data)
    message: _Alert = msgspec.field(default_factory=_Alert)


PING, UPDATE_MESSAGE = 1, 7
_INTERACTION: Final = msgspec.json.Decoder(_Interaction)
