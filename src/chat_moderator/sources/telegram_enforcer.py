"""Acts on Telegram through its Bot API."""

import contextlib
import logging
import re
import time
import urllib.parse
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from chat_moderator.errors import ForbiddenError, PermanentError, SkippedError, TransientError, UnauthorizedError
from chat_moderator.sources.connection import ConnectionConfig
from chat_moderator.sources.gathering import Gathering
from chat_moderator.sources.telegram_library import HTTPXRequest, error, telegram
from chat_moderator.types import Message, Outcome, Record, Verdict, now

log = logging.getLogger(__name__)

BULK: Final = 100
BULK_AGE: Final = timedelta(hours=47)
"""Telegram passes over what is 48 hours old in a bulk deletion, without saying so; an hour is left for clocks."""

UPDATES: Final = (
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "callback_query",
    "my_chat_member",
    "chat_member",
)
SHORTEST_TIMEOUT: Final = timedelta(seconds=60)
LONGEST_TIMEOUT: Final = timedelta(days=365)
"""An end less than 30 seconds or more than 366 days ahead means for ever."""

REFUSED: Final = timedelta(minutes=5)
"""Before a refused token is tried again."""

PART: Final = 3500
"""UTF-16 units of a quoted text; a message takes 4096."""

RELEASED: Final = 10_000
"""Released messages that are remembered, lest one is shown twice."""

REFUSED_TOKEN: Final = "Telegram refuses the token: copy it anew from @BotFather, /mybots, API Token"  # noqa: S105
LINKS: Final = telegram.LinkPreviewOptions(is_disabled=True)
SUPERGROUP: Final = "-100"
"""How the ids of supergroups and channels begin."""

_LABELS: Final = {Verdict.BLOCK: ("Undo", "Confirm"), Verdict.HOLD: ("Let through", "Keep out")}
_PRESSED: Final = re.compile(r"chat-moderator:([0-9]{1,18}):(approve|deny)")


class TelegramConfig(ConnectionConfig, frozen=True, kw_only=True):
    """`token`: of the bot; `webhook`: the public address to be called at, with `webhook_secret`; without it, it polls.

    `api`: where the Bot API is. Channels are named by id, @name or title, authors by id or @name; roles are `creator`,
    `administrator`, `member`, `anonymous`, `channel` and administrators' titles. `moderators_channel`: an id or @name.
    """

    token: str
    webhook: str = ""
    webhook_secret: str = ""
    api: str = "https://api.telegram.org"


class TelegramEnforcer:
    """Implements `Enforcer`. A message's id is its number in its chat."""

    def __init__(self, config: TelegramConfig) -> None:
        self._config = config
        self._moderators = config.moderators_channel  # moves when the group becomes a supergroup
        self._requests: tuple[HTTPXRequest, HTTPXRequest] | None = None
        self._bot: telegram.Bot | None = None
        self._not_before: dict[str, float] = {}
        self._released: OrderedDict[tuple[str, str, int], None] = OrderedDict()
        self._deletions: Gathering[str, int] = Gathering(self._delete_ids, most=BULK)

    async def delete(self, message: Message, *, reason: str) -> None:  # noqa: ARG002 -- Telegram takes no reason
        """See `Enforcer.delete`; deletions in a chat that come together become one call."""
        if message.sent_at is not None and now() - message.sent_at < BULK_AGE:
            try:
                await self._deletions.add(message.channel, int(message.id))
            except _ApartError:
                log.info("a bulk deletion was refused in %s; each is deleted alone", message.channel)
            else:
                return
        async with self._calling(message.channel, "Delete messages") as bot:
            await _delete(bot, message.channel, int(message.id))

    async def timeout(self, message: Message, *, length: timedelta, reason: str) -> None:  # noqa: ARG002
        """See `Enforcer.timeout`; from a minute to a year, in supergroups."""
        until = now() + min(max(length, SHORTEST_TIMEOUT), LONGEST_TIMEOUT)
        await self._restrict(message, telegram.ChatPermissions.no_permissions(), until)

    async def reply(self, message: Message, *, text: str) -> None:
        """Writes to the author privately; one who never spoke to the bot, or blocked it, is left alone."""
        if not _person(message):
            raise SkippedError("who writes as a channel or anonymously cannot be told privately")
        async with self._calling(message.author.id, private=True) as bot:
            await bot.send_message(int(message.author.id), cut(text, PART), link_preview_options=LINKS)

    async def release(self, message: Message) -> None:
        """Shows the text again, under its author's name but as the bot: a deleted message cannot come back."""
        place = (message.channel, message.id, message.revision)
        if place in self._released:
            return
        text = f"{message.author.name or message.author.id} wrote:\n{message.text}"
        async with self._calling(message.channel, "Send messages", once=True) as bot:
            while text:
                part = cut(text, PART)
                await bot.send_message(message.channel, part, link_preview_options=LINKS)
                text = text[len(part) :]
        self._released[place] = None
        if len(self._released) > RELEASED:
            self._released.popitem(last=False)

    async def alert(self, record: Record) -> bool:
        """See `Enforcer.alert`."""
        if not self._moderators:
            return False
        try:
            await self._send_alert(record)
        except _MovedError as moved:
            log.warning("the moderators' group has become a supergroup: put %s into moderators_channel", moved.chat)
            self._moderators = moved.chat
            await self._send_alert(record)
        return True

    async def undo(self, message: Message, outcome: Outcome) -> None:
        """Ends a timeout; shows a deleted message again as `release` does."""
        match outcome.action:
            case "timeout":
                await self._restrict(message, telegram.ChatPermissions.all_permissions(), None)
            case "delete" | "hold":
                await self.release(message)
            case action:
                raise PermanentError(f"{action} cannot be taken back")

    async def aclose(self) -> None:
        """Closes the connections."""
        requests, self._requests, self._bot = self._requests, None, None
        for request in requests or ():
            await request.shutdown()

    async def _send_alert(self, record: Record) -> None:
        approve, deny = _LABELS.get(record.decision.verdict, ("Undo", "Confirm"))
        buttons = telegram.InlineKeyboardMarkup(
            [[_button(record.seq, "approve", approve), _button(record.seq, "deny", deny)]]
        )
        async with self._calling(self._moderators, "Send messages") as bot:
            await bot.send_message(self._moderators, alert_of(record), reply_markup=buttons, link_preview_options=LINKS)

    async def _restrict(self, message: Message, permissions: telegram.ChatPermissions, until: datetime | None) -> None:
        if not _person(message):
            raise PermanentError("Telegram restricts people, not those who write as a channel or anonymously")
        if not message.channel.startswith(SUPERGROUP):
            raise PermanentError(
                f"in chat {message.channel} nobody can be restricted, it is no supergroup: an administrator makes it "
                "one by showing new members its history (Edit, Chat history for new members)"
            )
        async with self._calling(message.channel, "Ban users") as bot:
            await bot.restrict_chat_member(
                message.channel,
                int(message.author.id),
                permissions,
                until_date=until,
                use_independent_chat_permissions=True,
            )

    async def _delete_ids(self, chat: str, identifiers: Sequence[int]) -> None:
        async with self._calling(chat, "Delete messages") as bot:
            if len(identifiers) == 1:
                await _delete(bot, chat, identifiers[0])
                return
            try:
                await bot.delete_messages(chat, identifiers)
            except error.BadRequest as problem:
                raise _ApartError("one of them is not as Telegram wants it") from problem

    @contextlib.asynccontextmanager
    async def _calling(
        self, chat: str, right: str = "", *, private: bool = False, once: bool = False
    ) -> AsyncIterator[telegram.Bot]:
        """The library's client; what goes wrong is told in our terms.

        Args:
            chat: where; after it asked to wait, nothing is called there before its time.
            right: what an administrator has to have there.
            private: it is written to a person.
            once: the call is not to be repeated when its fate is unknown.
        """
        wait = self._not_before.get(chat, 0.0) - time.monotonic()
        if wait > 0:
            raise TransientError("Telegram asks to wait", retry_after=timedelta(seconds=wait))
        try:
            yield self._api()
        except error.RetryAfter as problem:
            length = _length(problem)
            self._not_before = {each: at for each, at in self._not_before.items() if at > time.monotonic()}
            self._not_before[chat] = time.monotonic() + length.total_seconds()
            raise TransientError("Telegram asks to wait", retry_after=length) from problem
        except error.TimedOut as problem:
            if once:
                raise PermanentError("Telegram did not answer in time; it may have happened") from problem
            raise translated(problem, chat, right) from problem
        except error.Forbidden as problem:
            if private:
                raise SkippedError("the author takes no private messages from the bot") from problem
            raise translated(problem, chat, right) from problem
        except error.BadRequest as problem:
            if private and "chat not found" in problem.message.lower():
                raise SkippedError("the author never wrote to the bot, so it may not begin") from problem
            raise translated(problem, chat, right) from problem
        except error.TelegramError as problem:
            raise translated(problem, chat, right) from problem

    async def _fetch(self, offset: int, seconds: int) -> list[dict[str, Any]]:
        """Updates as Telegram sends them, from `offset` on; waits up to `seconds` for the first."""
        bot = self._api()
        asked = {"offset": offset, "timeout": seconds, "allowed_updates": msgspec.json.encode(UPDATES).decode()}
        url = f"{bot.base_url}/getUpdates?{urllib.parse.urlencode(asked)}"
        found: Any = await self._polling.post(url, read_timeout=seconds + 10.0)
        return list(found)

    def _api(self) -> telegram.Bot:
        if self._bot is None:
            self._polling = HTTPXRequest(connection_pool_size=1)
            calling = HTTPXRequest(read_timeout=15.0, pool_timeout=30.0)
            self._requests = (self._polling, calling)
            self._bot = telegram.Bot(
                self._config.token,
                base_url=f"{self._config.api}/bot",
                request=calling,
                get_updates_request=self._polling,
            )
        return self._bot


class _ApartError(PermanentError):
    """Messages cannot be deleted together."""


class _MovedError(PermanentError):
    """The group has become a supergroup, which is another chat: in it, the same id is another message."""

    def __init__(self, chat: str) -> None:
        super().__init__(f"the group became the supergroup {chat}; what was written before cannot be reached there")
        self.chat = chat


def translated(  # noqa: PLR0911 -- a table
    problem: error.TelegramError, chat: str, right: str
) -> TransientError | PermanentError:
    """What an error of the library means to a caller.

    Args:
        problem: as the library raised it.
        chat: where; empty where it was nowhere.
        right: what an administrator has to have there.
    """
    match problem:
        case error.RetryAfter():
            return TransientError("Telegram asks to wait", retry_after=_length(problem))
        case error.InvalidToken():
            return UnauthorizedError(REFUSED_TOKEN, retry_after=REFUSED)
        case error.ChatMigrated():
            return _MovedError(str(problem.new_chat_id))
        case error.Conflict():
            return TransientError("another program reads with this bot's token: stop it, or give it a bot of its own")
        case error.Forbidden():
            return ForbiddenError(
                f"Telegram says that the bot is not in chat {chat} ({problem.message}): add it there again, as an "
                "administrator"
            )
        case error.BadRequest():
            return _refusal(problem.message, chat, right)
        case _:
            return TransientError(f"Telegram cannot be reached or is at fault: {type(problem).__name__}")


def _refusal(text: str, chat: str, right: str) -> PermanentError:
    if "chat not found" in text.lower():
        return ForbiddenError(f"Telegram has no chat {chat} for the bot: add it there, as an administrator")
    if "administrator of the chat" in text.lower() or "chat owner" in text.lower():
        return PermanentError(f"Telegram restricts no administrators ({text}, chat {chat})")
    if any(sign in text.lower() for sign in ("can't be deleted", "not enough rights", "admin", "have no rights")):
        return ForbiddenError(
            f"Telegram forbids it in chat {chat} ({text}): make the bot an administrator with the right {right!r} "
            "there; what is older than 48 hours may stay even so"
        )
    return PermanentError(f"Telegram refused it in chat {chat}: {text}")


def alert_of(record: Record) -> str:
    """The text of an alert, as plain text: Telegram sees no markup in it."""
    message, decision = record.message, record.decision
    who = f"{cut(message.author.name, 200)} ({message.author.id})"
    why = f"{decision.label or decision.rule} {decision.score:.2f}, rule: {decision.rule}"
    head = f"{decision.verdict}: {who} in {message.channel}: {why}, record {record.seq}"
    quoted = cut(message.text, PART - 500)
    return f"{cut(head, 500)}\n{quoted}{'' if quoted == message.text else ' …'}"


def pressed(data: str) -> tuple[int, bool] | None:
    """The record and whether it was approved; None for what is no button of ours."""
    found = _PRESSED.fullmatch(data)
    return (int(found[1]), found[2] == "approve") if found else None


def cut(text: str, most: int) -> str:
    """The beginning of a text, at most `most` UTF-16 units, which is how Telegram counts; never half a character."""
    return text.encode("utf-16-le", "replace")[: 2 * most].decode("utf-16-le", "ignore")


def _button(seq: int, word: str, label: str) -> telegram.InlineKeyboardButton:
    return telegram.InlineKeyboardButton(label, callback_data=f"chat-moderator:{seq}:{word}")


def _person(message: Message) -> bool:
    """Whether a person's account wrote it: chats that speak have ids below zero."""
    return message.author.id.isdigit()


def _length(problem: error.RetryAfter) -> timedelta:
    wait = problem.retry_after
    return wait if isinstance(wait, timedelta) else timedelta(seconds=wait)


async def _delete(bot: telegram.Bot, chat: str, identifier: int) -> None:
    try:
        await bot.delete_message(chat, identifier)
    except error.BadRequest as problem:
        if "not found" not in problem.message.lower() or "chat not found" in problem.message.lower():
            raise
