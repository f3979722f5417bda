"""Acts in IRC, as far as its server lets anybody: silences, kicks, redacts, tells, alerts."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from irctokens.line import Line

from chat_moderator.errors import PermanentError, SkippedError, TransientError
from chat_moderator.sources.irc_authors import IrcAuthors, modes_of
from chat_moderator.sources.irc_client import IrcClient, IrcConfig, has_refused
from chat_moderator.sources.irc_lines import MADE, cut, mask_of, pieces, unbroken, undirected
from chat_moderator.sources.irc_mutes import IrcMutes
from chat_moderator.sources.irc_session import IrcSession
from chat_moderator.types import Message, Outcome, Record

REDACTION: Final = "draft/message-redaction"
LINES: Final = 3
"""Lines that a text to an author, or a text that is shown again, takes at most."""

RELEASED: Final = 10_000
SILENT: Final = frozenset("qaohv")
"""Channel modes whose owners no mask silences."""

SEEN: Final = "IRC shows every message at once and takes none back"


class IrcEnforcer:
    """Implements `HoldingEnforcer`. It makes the connection that it needs where none stands."""

    def __init__(self, config: IrcConfig) -> None:
        self._config = config
        self._client = IrcClient(config)
        self._authors = IrcAuthors()
        self._mutes = IrcMutes(self._client)
        self._released: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def delete(self, message: Message, *, reason: str) -> None:
        """Redacts where the server can, and kicks the author where the settings say so; else it is skipped."""
        redacted = await self._redact(message, reason)
        if self._config.kick:
            await self._kick(message, reason)
        elif not redacted:
            raise SkippedError(f"{SEEN}; `timeout`, or kick = true, keeps its author from going on")

    async def hold(self, message: Message, *, reason: str) -> None:
        """Redacts where the server can; else it is skipped, and only the review is left."""
        if not await self._redact(message, reason):
            raise SkippedError(SEEN)

    async def timeout(self, message: Message, *, length: timedelta, reason: str) -> None:  # noqa: ARG002 -- no place
        """Silences the author in the channel until the time is over."""
        session = await self._client.session()
        self._client.places.demand(message.channel)
        user = self._authors.find(session, message.author)
        if user is not None and not SILENT.isdisjoint(modes_of(session, user.nickname, message.channel)):
            raise PermanentError(
                f"IRC channel {message.channel}: {user.nickname} has voice or more there, which no mask silences"
            )
        userhost = self._authors.userhost(session, message.author)
        if not userhost:
            raise PermanentError(f"the author {message.author.name} has left, and the server does not say from where")
        await self._mutes.mute(message.channel, message.author.id, mask_of(userhost), length)

    async def reply(self, message: Message, *, text: str) -> None:
        """Sends the author a notice, by whatever nick; skipped for one who has left, or takes none."""
        session = await self._client.session()
        nick = await self._authors.nick(session, message.author)
        if not nick:
            raise SkippedError("the author has left")
        for piece in pieces(text, session.room("NOTICE", nick), LINES):
            answers = await session.ask("NOTICE", nick, piece)
            if has_refused(answers, "401", "406"):
                raise SkippedError("the author has left")
            _slow(answers)
            refused = has_refused(answers, "404", "477", "486", "531", "716", "717")
            if refused is not None:
                raise SkippedError(f"the author takes no private messages: {refused.params[-1]}")

    async def release(self, message: Message) -> None:
        """Shows a redacted text again, under its author's nick but as the bot; what was never out of sight stays so."""
        session = await self._client.session()
        if not _redactable(session, message):
            raise SkippedError(f"{SEEN}: it was never out of sight")
        place = message.channel, message.id
        if place in self._released:
            return
        shown = f"<{undirected(message.author.name)}> {message.text}"
        for piece in pieces(shown, session.room("PRIVMSG", message.channel), LINES):
            await self._say(session, message.channel, piece)
        self._released[place] = None
        if len(self._released) > RELEASED:
            self._released.popitem(last=False)

    async def alert(self, record: Record) -> bool:
        """See `Enforcer.alert`; two commands answer it."""
        channel = self._client.moderators
        if not channel:
            return False
        session = await self._client.session()
        await self._say(session, channel, alert_of(record, session.room("PRIVMSG", channel)))
        return True

    async def undo(self, message: Message, outcome: Outcome) -> None:
        """Lets a silenced author write again; shows a redacted text again as `release` does."""
        match outcome.action:
            case "timeout":
                await self._mutes.unmute(message.channel, message.author.id)
            case "delete" | "hold" if _redactable(await self._client.session(), message):
                await self.release(message)
            case "delete":
                raise PermanentError("a kick cannot be taken back; the author may join again")
            case action:
                raise PermanentError(f"{action} cannot be taken back")

    async def aclose(self) -> None:
        """Leaves the server."""
        await self._client.aclose()

    async def _redact(self, message: Message, reason: str) -> bool:
        """Whether the server can."""
        session = await self._client.session()
        if not _redactable(session, message):
            return False
        answers = await session.ask("REDACT", message.channel, message.id, f"chat-moderator: {reason}")
        refused = next((line for line in answers if line.command == "FAIL" and line.params[:1] == ["REDACT"]), None)
        if refused is not None and "UNKNOWN_MSGID" not in refused.params:
            if "REDACT_FORBIDDEN" in refused.params:
                raise self._client.places.refused(message.channel)
            raise PermanentError(f"IRC channel {message.channel}: the server redacts it not: {refused.params[-1]}")
        return True

    async def _kick(self, message: Message, reason: str) -> None:
        session = await self._client.session()
        user = self._authors.find(session, message.author)
        if user is None or session.state.casefold(message.channel) not in user.channels:
            return
        self._client.places.demand(message.channel)
        answers = await session.ask("KICK", message.channel, user.nickname, f"chat-moderator: {reason}")
        if has_refused(answers, "482"):
            raise self._client.places.refused(message.channel)
        refused = has_refused(answers, "481", "484", "485", "972")
        if refused is not None:
            raise PermanentError(f"IRC channel {message.channel}: the server does not kick: {refused.params[-1]}")

    async def _say(self, session: IrcSession, channel: str, text: str) -> None:
        if not session.state.has_channel(channel):
            raise TransientError(f"IRC channel {channel}: we are not in it for now")
        answers = await session.ask("PRIVMSG", channel, text)
        _slow(answers)
        refused = has_refused(answers, "404")
        if refused is not None:
            nick = session.state.nickname
            raise PermanentError(
                f"IRC channel {channel}: we may not write there ({refused.params[-1]}): let a channel operator write "
                f"/mode {channel} +v {nick}"
            )


def _slow(answers: Sequence[Line]) -> None:
    if has_refused(answers, "263", "439"):
        raise TransientError("the IRC server asks to write slower: lower rate")


def _redactable(session: IrcSession, message: Message) -> bool:
    return session.has(REDACTION) and not message.id.startswith(MADE)


def alert_of(record: Record, size: int) -> str:
    """The text of an alert in at most `size` bytes: who, what, why, the two commands that answer it, and the message.

    The message stands last and without marks of direction, so that nothing in it can look like a part of the alert.
    """
    message, decision = record.message, record.decision
    name = undirected(message.author.name)[:50]
    why = f"{decision.label or decision.rule} {decision.score:.2f}, rule: {decision.rule}"
    head = cut(f"{decision.verdict}: {name} in {message.channel}: {why}", size // 2)
    answer = f"record {record.seq}: !undo {record.seq} or !confirm {record.seq}"
    quoted = " ".join(unbroken(undirected(message.text)).split())
    return cut(f"{head} | {answer} | {quoted}", size)
