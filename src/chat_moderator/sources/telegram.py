"""Reads Telegram by long polling, or by webhook where the operator names a public address."""

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from chat_moderator.errors import ConfigError, PermanentError, RefusedError
from chat_moderator.protocols import Intake
from chat_moderator.sources.telegram_enforcer import (
    REFUSED_TOKEN,
    UPDATES,
    TelegramConfig,
    TelegramEnforcer,
    cut,
    pressed,
    translated,
)
from chat_moderator.sources.telegram_library import error, telegram
from chat_moderator.sources.webhooks import read, same
from chat_moderator.types import Author, Message, WebhookAnswer, WebhookCall, now

Config = TelegramConfig

log = logging.getLogger(__name__)

POLL: Final = 25
"""Seconds that a poll waits for something to come."""

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
KEPT: Final = timedelta(hours=24)
"""How long Telegram keeps what nobody took."""

REMEMBERED: Final = 600.0
"""Seconds that a chat's administrators are remembered; a change that Telegram tells of ends it."""

WATCH: Final = 60.0
"""Seconds between looks at how Telegram's calls to the webhook fare."""

BOOKMARK: Final = "read"
CONNECTION: Final = "connection"
MESSAGES: Final = frozenset(UPDATES[:4])
READ: Final = frozenset(
    {"message_id", "date", "edit_date", "chat", "from", "sender_chat", "author_signature", "text", "caption"}
    | {"migrate_to_chat_id"}
)
ANSWERED: Final = ("message_id", "date", "chat", "forum_topic_created")
"""What is looked at in a message, and in the one that it answers."""

ADMINISTRATORS: Final = frozenset({"creator", "administrator"})


class Telegram(TelegramEnforcer):
    """Implements `Source`, `WebhookSource` and `Enforcer`.

    An edit's revision is its time, which Telegram tells in seconds, and in its last 20 bits the number of the update.

    Raises:
        ConfigError: the token, the webhook's address or secret, or the moderators' channel is not as Telegram has them.
    """

    media: tuple[str, ...] = ("application/json",)

    def __init__(self, config: TelegramConfig) -> None:
        super().__init__(config)
        if not re.fullmatch(r"[0-9]+:[\w-]+", config.token, re.ASCII):
            raise ConfigError("token", "a bot's token is needed, such as @BotFather gives: digits, a colon, letters")
        if config.webhook and not config.webhook.startswith("https://"):
            raise ConfigError("webhook", "a public https address is needed, ending in /webhooks/NAME of the connection")
        if (config.webhook or config.webhook_secret) and not re.fullmatch(
            r"[A-Za-z0-9_-]{16,256}", config.webhook_secret
        ):
            raise ConfigError(
                "webhook_secret", "16 to 256 of A-Z, a-z, 0-9, _ and - are needed; make them up at random"
            )
        if config.moderators_channel and not re.fullmatch(r"-?[0-9]+|@\w+", config.moderators_channel, re.ASCII):
            raise ConfigError("moderators_channel", "the chat's id is needed, such as -1001234567890, or its @name")
        self._own = int(config.token.partition(":")[0])
        self._administrators: dict[int, tuple[float, dict[int, tuple[str, ...]]]] = {}

    async def run(self, intake: Intake) -> None:
        """See `Source.run`; Telegram keeps for a day what is not taken."""
        try:
            if self._config.webhook:
                await self._watch(intake)
            else:
                await self._api().delete_webhook()
                await self._poll(intake)
        except error.InvalidToken as problem:
            raise PermanentError(REFUSED_TOKEN) from problem
        except error.TelegramError as problem:
            raise translated(problem, "", "") from problem

    async def receive(self, call: WebhookCall, intake: Intake) -> WebhookAnswer:
        """See `WebhookSource.receive`; Telegram sends a secret, no signature and no time."""
        secret = self._config.webhook_secret
        if not secret:
            raise RefusedError("the connection has no webhook_secret")
        if not same(secret, call.headers.get("x-telegram-bot-api-secret-token", "")):
            raise RefusedError("the secret token is not the connection's")
        raw = read(_UPDATE, call.body)
        try:
            update = update_of(raw, self._api())
        except PermanentError as problem:
            if not isinstance(raw.get("update_id"), int):
                raise
            intake.gap(str(problem))  # refused, it would come again and again, before all others
            return WebhookAnswer()
        if update.callback_query is not None:
            await self._take_press(update.callback_query, intake)
            return WebhookAnswer()
        message = await self._converted(update, intake)
        if message is not None:
            await intake.accept((message,), delivery=str(update.update_id))
        return WebhookAnswer()

    async def _poll(self, intake: Intake) -> None:
        kept = await intake.bookmark(BOOKMARK)
        if kept and now().timestamp() - float(kept) > KEPT.total_seconds():
            intake.gap("Telegram keeps messages for 24 hours, and they were not read for longer")
        offset, up, pause = 0, False, FIRST_PAUSE
        while True:
            try:
                updates = await self._fetch(offset, POLL if up else 0)
            except (error.RetryAfter, error.InvalidToken, error.BadRequest, error.Conflict):
                raise
            except error.NetworkError as problem:
                up = False
                intake.report(CONNECTION, f"Telegram cannot be reached for now: {type(problem).__name__}")
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            if not up:
                up, pause = True, FIRST_PAUSE
                intake.report(CONNECTION, "")
                intake.connected()
            if updates:
                await self._take(updates, intake)
                offset = updates[-1]["update_id"] + 1
            await intake.keep(BOOKMARK, f"{now().timestamp():.0f}")

    async def _watch(self, intake: Intake) -> None:
        """Has the webhook called, and looks whether that works."""
        config, bot = self._config, self._api()
        await bot.set_webhook(config.webhook, allowed_updates=UPDATES, secret_token=config.webhook_secret)
        intake.connected()
        looked = now()
        while True:
            await asyncio.sleep(WATCH)
            info = await bot.get_webhook_info()
            failed = info.last_error_date is not None and info.last_error_date > looked
            told = f"Telegram cannot call {config.webhook}: {info.last_error_message}"
            intake.report(CONNECTION, told if failed else "")
            looked = now()

    async def _take(self, updates: Sequence[dict[str, Any]], intake: Intake) -> None:
        messages = []
        for raw in updates:
            try:
                update = update_of(raw, self._api())
            except PermanentError as problem:  # one that cannot be understood must not hold up the others for ever
                intake.gap(str(problem))
                continue
            if update.callback_query is not None:
                try:
                    await self._take_press(update.callback_query, intake)
                except PermanentError as problem:
                    log.warning("a press was left alone: %s", problem)
            else:
                message = await self._converted(update, intake)
                if message is not None:
                    messages.append(message)
        if messages:
            await intake.accept(messages)

    async def _take_press(self, query: telegram.CallbackQuery, intake: Intake) -> None:
        found = pressed(query.data or "")
        chat = query.message.chat if query.message is not None else None
        if found is None or chat is None or not self._for_moderators(chat):
            raise PermanentError("this is no button of an alert")
        seq, approve = found
        person = query.from_user
        moderator = f"{person.username or person.full_name} ({person.id})"
        said = await intake.resolve(seq, approve=approve, moderator=moderator)
        try:
            await self._api().answer_callback_query(query.id, cut(said, 200))
            if isinstance(query.message, telegram.Message):
                text = f"{query.message.text}\n\n{said}"
                await self._api().edit_message_text(cut(text, 4096), chat.id, query.message.message_id)
        except error.TelegramError as problem:
            log.warning("an alert keeps its buttons: %s", translated(problem, str(chat.id), "Send messages"))

    async def _converted(self, update: telegram.Update, intake: Intake) -> Message | None:
        """The message as the domain knows it; None where there is none or it is passed over."""
        if update.my_chat_member is not None:
            self._look_at_own_rights(update.my_chat_member, intake)
        if update.chat_member is not None:
            told = update.chat_member
            if ADMINISTRATORS & {told.old_chat_member.status, told.new_chat_member.status}:
                self._administrators.pop(told.chat.id, None)
        message = update.message or update.edited_message or update.channel_post or update.edited_channel_post
        if message is None or message.chat.type == "private":
            return None
        if message.migrate_to_chat_id is not None:
            self._move(message.chat, str(message.migrate_to_chat_id), intake)
        text = text_of(message)
        if not text or self._for_moderators(message.chat):
            return None
        author, names, bot = await self._author_of(message)
        if author is None or self._config.exempts(
            authors=names, channels=_names_of(message.chat), roles=author.roles, bot=bot
        ):
            return None
        edited = update.edited_message is not None or update.edited_channel_post is not None
        answered = message.reply_to_message
        return Message(
            id=str(message.message_id),
            text=text,
            platform="telegram",
            community=str(message.chat.id),
            channel=str(message.chat.id),
            author=author,
            sent_at=message.date.astimezone(UTC),
            revision=_revision(message.edit_date or message.date, update.update_id) if edited else 0,
            reply_to=str(answered.message_id) if answered is not None and not answered.forum_topic_created else None,
        )

    async def _author_of(self, message: telegram.Message) -> tuple[Author | None, tuple[str, ...], bool]:
        """Who wrote it, all that names them, and whether it is a bot; no author where it is the bot itself.

        Who writes as a channel or an anonymous administrator is behind an account of Telegram's own that is marked as
        a bot, and is none.
        """
        speaker, person = message.sender_chat, message.from_user
        if speaker is not None:
            anonymous = speaker.id == message.chat.id and message.chat.type != "channel"
            own = ("administrator", "anonymous", message.author_signature or "") if anonymous else ("channel",)
            names = (str(speaker.id), *_named(speaker.username))
            return Author(str(speaker.id), speaker.title or "", tuple(filter(None, own))), names, False
        if person is None or person.id == self._own:
            return None, (), False
        roles = await self._roles(message.chat.id, person.id)
        names = (str(person.id), *_named(person.username))
        return Author(str(person.id), person.full_name, roles), names, person.is_bot

    async def _roles(self, chat: int, person: int) -> tuple[str, ...]:
        at, known = self._administrators.get(chat, (0.0, {}))
        if not at or time.monotonic() - at > REMEMBERED:
            try:
                found = await self._api().get_chat_administrators(chat)
            except error.TelegramError as problem:
                log.warning("the administrators of chat %s are not known: %s", chat, type(problem).__name__)
            else:
                known = {each.user.id: _roles_of(each) for each in found}
            self._administrators[chat] = (time.monotonic(), known)
        return known.get(person, ("member",))

    def _look_at_own_rights(self, told: telegram.ChatMemberUpdated, intake: Intake) -> None:
        chat, member = told.chat, told.new_chat_member
        if chat.type == "private":
            return
        where, problem = f"{chat.title} ({chat.id})", ""
        if member.status in {"left", "kicked"}:
            problem = f"the bot was removed from {where}: add it again, as an administrator"
        elif self._config.enforce and not getattr(member, "can_delete_messages", False):
            problem = f"the bot may not delete in {where}: make it an administrator with the right 'Delete messages'"
        intake.report(f"chat {chat.id}", problem)

    def _move(self, chat: telegram.Chat, to: str, intake: Intake) -> None:
        """The group has become a supergroup: another id, and other numbers of messages."""
        log.warning("the group %s has become the supergroup %s: settings that name it need the new id", chat.id, to)
        if self._for_moderators(chat):
            self._moderators = to
        if str(chat.id) in {self._config.moderators_channel, *self._config.exempt_channels}:
            cure = f"put {to} where the settings have {chat.id}"
            intake.report(f"chat {chat.id}", f"the group {chat.title} has become a supergroup: {cure}")

    def _for_moderators(self, chat: telegram.Chat) -> bool:
        return bool(self._moderators) and self._moderators in {str(chat.id), f"@{chat.username}"}


def update_of(raw: dict[str, Any], bot: telegram.Bot) -> telegram.Update:
    """An update in the library's terms, without what is not looked at: the library refuses what it does not know.

    Raises:
        PermanentError: it is none.
    """
    try:
        pruned = {key: _pruned(value) if key in MESSAGES else value for key, value in raw.items()}
        found = telegram.Update.de_json(pruned, bot)
        if isinstance(found.update_id, int):
            return found
    except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError) as problem:
        raise PermanentError(
            f"an update {raw.get('update_id')} could not be read: {type(problem).__name__}"
        ) from problem
    raise PermanentError("an update has no number")


def _pruned(message: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in message.items() if key in READ}
    if "reply_to_message" in message:
        answered = message["reply_to_message"]
        kept["reply_to_message"] = {key: answered[key] for key in ANSWERED if key in answered}
    if "poll" in message:
        poll = message["poll"]
        kept["caption"] = "\n".join([poll["question"], *(option["text"] for option in poll["options"])])
    return kept


def text_of(message: telegram.Message) -> str:
    """What people read in a message: its text, its caption, or its poll."""
    return "\n".join(part for part in (message.text, message.caption) if part and part.strip())


def _revision(at: datetime, number: int) -> int:
    return (int(at.timestamp()) << 20) | (number & 0xFFFFF)


def _roles_of(member: telegram.ChatMember) -> tuple[str, ...]:
    title = getattr(member, "custom_title", None)
    return (str(member.status), *((title,) if title else ()))


def _names_of(chat: telegram.Chat) -> tuple[str, ...]:
    """All by which an operator may name a chat."""
    return (str(chat.id), *_named(chat.username), *((chat.title,) if chat.title else ()))


def _named(username: str | None) -> tuple[str, ...]:
    return (username, f"@{username}") if username else ()


_UPDATE: Final = msgspec.json.Decoder(dict[str, Any])
