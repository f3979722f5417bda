"""Acts on Twitch through its Web API."""

import logging
from collections import OrderedDict
from datetime import timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

from chat_moderator.errors import ForbiddenError, PermanentError, SkippedError
from chat_moderator.sources.twitch_api import RefusalError, TwitchApi, TwitchConfig
from chat_moderator.types import HELD, Message, Outcome, Record, now

log = logging.getLogger(__name__)

LIMIT: Final = 500
"""Characters of a chat message, and of a reason."""

DELETABLE: Final = timedelta(hours=6)
LONGEST_TIMEOUT: Final = timedelta(days=14)
RELEASED: Final = 10_000
"""Released messages that are remembered, lest one is shown twice, or judged again when AutoMod lets it go."""


class TwitchEnforcer:
    """Implements `HoldingEnforcer`. Its identifiers are Twitch's; channels are the ids of their broadcasters."""

    def __init__(self, config: TwitchConfig) -> None:
        self._config = config
        self._api = TwitchApi(config)
        self._ids: dict[str, str] = {}
        self._released: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def delete(self, message: Message, *, reason: str) -> None:  # noqa: ARG002 -- Twitch takes no reason
        """See `Enforcer.delete`; what AutoMod holds is denied."""
        if message.id.startswith(HELD):
            await self._answer_automod(message, "DENY")
            return
        try:
            await self._delete_message(message.channel, _uuid(message.id))
        except RefusalError as problem:
            old = message.sent_at is not None and now() - message.sent_at > DELETABLE
            if problem.status == HTTPStatus.NOT_FOUND and not old:
                return
            if problem.status == HTTPStatus.NOT_FOUND:
                raise PermanentError("Twitch deletes no message that is older than 6 hours") from problem
            raise _told(problem, message.channel) from problem

    async def hold(self, message: Message, *, reason: str) -> None:
        """Leaves with AutoMod what it holds; deletes what is seen already."""
        if not message.id.startswith(HELD):
            await self.delete(message, reason=reason)

    async def timeout(self, message: Message, *, length: timedelta, reason: str) -> None:
        """See `Enforcer.timeout`; at most 14 days."""
        seconds = max(1, int(min(length, LONGEST_TIMEOUT).total_seconds()))
        data = {"user_id": message.author.id, "duration": seconds, "reason": f"chat-moderator: {reason}"[:LIMIT]}
        try:
            await self._api.call("POST", "/moderation/bans", await self._in(message.channel), {"data": data})
        except RefusalError as problem:
            if "already banned" not in problem.text.lower():
                raise _told(problem, message.channel) from problem

    async def reply(self, message: Message, *, text: str) -> None:
        """Warns the author, who has to confirm it before writing again; nobody else sees it."""
        data = {"user_id": message.author.id, "reason": text[:LIMIT]}
        try:
            await self._api.call("POST", "/moderation/warnings", await self._in(message.channel), {"data": data})
        except RefusalError as problem:
            if problem.status == HTTPStatus.BAD_REQUEST and "may not be warned" in problem.text.lower():
                raise SkippedError("Twitch lets nobody warn the author: a moderator, or the broadcaster") from problem
            raise _told(problem, message.channel) from problem

    async def release(self, message: Message) -> None:
        """Lets AutoMod show what it holds; shows what was deleted again, under its author's name but as the bot."""
        if message.id.startswith(HELD):
            self._remember(
                (message.channel, message.id.removeprefix(HELD))
            )  # it is in the chat before the answer is here
            await self._answer_automod(message, "ALLOW")
            return
        place = (message.channel, message.id)
        if place in self._released:
            return
        text = f"{message.author.name or message.author.id} wrote: {message.text}"
        for start in range(0, len(text), LIMIT):
            await self._say(message.channel, text[start : start + LIMIT])
        self._remember(place)

    async def alert(self, record: Record) -> bool:
        """See `Enforcer.alert`; moderators answer by writing a command."""
        if not self._config.moderators_channel:
            return False
        await self._say(await self._channel_id(self._config.moderators_channel), alert_of(record))
        return True

    async def undo(self, message: Message, outcome: Outcome) -> None:
        """Ends a timeout; shows a deleted message again as `release` does."""
        match outcome.action:
            case "timeout":
                query = await self._in(message.channel) | {"user_id": message.author.id}
                try:
                    await self._api.call("DELETE", "/moderation/bans", query)
                except RefusalError as problem:
                    if "not banned" not in problem.text.lower():
                        raise _told(problem, message.channel) from problem
            case "delete" if message.id.startswith(HELD):
                raise PermanentError("what AutoMod was told to deny cannot be shown any more")
            case "delete" | "hold":
                await self.release(message)
            case action:
                raise PermanentError(f"{action} cannot be taken back")

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    def _remember(self, place: tuple[str, str]) -> None:
        self._released[place] = None
        if len(self._released) > RELEASED:
            self._released.popitem(last=False)

    async def _delete_message(self, channel: str, identifier: UUID) -> None:
        """Deletes one message. Twitch takes a call without an id for the whole chat; a UUID is never empty."""
        await self._api.call("DELETE", "/moderation/chat", await self._in(channel) | {"message_id": str(identifier)})

    async def _answer_automod(self, message: Message, action: str) -> None:
        body = {"user_id": await self._api.me(), "msg_id": message.id.removeprefix(HELD), "action": action}
        try:
            await self._api.call("POST", "/moderation/automod/message", None, body)
        except RefusalError as problem:
            # It was answered, by somebody or by us before an uncertain answer, or AutoMod gave it up.
            if problem.status != HTTPStatus.NOT_FOUND and "already" not in problem.text.lower():
                raise _told(problem, message.channel) from problem

    async def _say(self, channel: str, text: str, *, reply_to: str = "") -> None:
        body = {"broadcaster_id": channel, "sender_id": await self._api.me(), "message": text}
        answered = {"reply_parent_message_id": reply_to} if reply_to else {}
        try:
            answer = await self._api.call("POST", "/chat/messages", None, body | answered)
        except RefusalError as problem:
            raise _told(problem, channel) from problem
        for each in answer.get("data", ()):
            if not each.get("is_sent", True):
                why = (each.get("drop_reason") or {}).get("message", "no reason")
                raise PermanentError(f"Twitch did not show it in channel {channel}: {why}")

    async def _in(self, channel: str) -> dict[str, str]:
        return {"broadcaster_id": channel, "moderator_id": await self._api.me()}

    async def _channel_id(self, login: str) -> str:
        """The id of a channel by its login.

        Raises:
            PermanentError: there is none.
        """
        if login.lower() not in self._ids:
            try:
                found = await self._api.call("GET", "/users", {"login": login.lower()})
            except RefusalError as problem:
                raise PermanentError(f"{login!r} is no login of Twitch") from problem
            self._ids |= {each["login"]: each["id"] for each in found.get("data", ())}
        if login.lower() not in self._ids:
            raise PermanentError(f"there is no channel {login!r} on Twitch: the login in its address is needed")
        return self._ids[login.lower()]


def alert_of(record: Record) -> str:
    """The text of an alert: who, what, why, and the two commands that answer it."""
    message, decision = record.message, record.decision
    why = f"{decision.label or decision.rule} {decision.score:.2f}, rule: {decision.rule}"
    head = f"{decision.verdict}: {message.author.name[:50]}: {why}"[:200]
    tail = f" | record {record.seq} | !undo {record.seq} or !confirm {record.seq}"
    quoted = " ".join(message.text.split())
    room = LIMIT - len(head) - len(tail) - 4
    return f"{head} | {quoted if len(quoted) <= room else f'{quoted[: room - 2]} …'}{tail}"


def _uuid(identifier: str) -> UUID:
    try:
        return UUID(identifier)
    except ValueError as problem:
        raise PermanentError(f"{identifier!r} is no id of a message on Twitch") from problem


def _told(problem: RefusalError, channel: str) -> PermanentError:
    """A refusal, with its cure."""
    if problem.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return ForbiddenError(
            f"Twitch forbids it in channel {channel} ({problem.text}): the bot's account has to be a moderator there "
            "(/mod in its chat), and its token needs the scope for it"
        )
    return PermanentError(f"Twitch refused it in channel {channel}: {problem.status}, {problem.text}")
