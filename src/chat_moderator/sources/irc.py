"""Reads the channels of an IRC network, over a connection that is always there."""

import asyncio
import logging
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Final

from irctokens.line import Line

from chat_moderator.errors import PermanentError, TransientError
from chat_moderator.protocols import Intake
from chat_moderator.sources.commands import commanded
from chat_moderator.sources.irc_authors import OPERATORS, IrcAuthors, modes_of
from chat_moderator.sources.irc_client import IrcClient, IrcConfig
from chat_moderator.sources.irc_enforcer import IrcEnforcer
from chat_moderator.sources.irc_history import OVERLAP, IrcHistory
from chat_moderator.sources.irc_lines import cut, made_id, moment, written
from chat_moderator.sources.irc_session import IrcSession
from chat_moderator.types import Message, Struct, now

Config = IrcConfig

log = logging.getLogger(__name__)

WAITING: Final = 20_000
BATCH: Final = 256
STEADY: Final = 60.0
LONGEST_PAUSE: Final = 60.0
"""Seconds that a connection has to stand for the next one to be made at once, and the longest pause before one."""

BOOKMARK: Final = "read"
KEEP: Final = timedelta(seconds=20)


class Irc(IrcEnforcer):
    """Implements `Source` and `HoldingEnforcer`. There are no edits in IRC."""

    async def run(self, intake: Intake) -> None:
        """See `Source.run`; timeouts end while this runs."""
        await self._mutes.attach(intake)
        kept = await intake.bookmark(BOOKMARK)
        since = datetime.fromtimestamp(float(kept), UTC) if kept else None
        reading = _Reading(self._config, self._client, self._authors, intake, since)
        self._client.attach(reading)
        tasks = [asyncio.create_task(self._mutes.run()), asyncio.create_task(reading.feed())]
        try:
            await reading.read(tasks[1])
        except TransientError as problem:
            if self._client.refusal:
                raise PermanentError(self._client.refusal) from problem
            raise
        finally:
            self._client.attach(None)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Command(Struct, frozen=True):
    """A moderator's word."""

    seq: int
    approve: bool
    moderator: str


class _Reading:
    """One run of the source; implements `Listener`."""

    def __init__(
        self,
        config: IrcConfig,
        client: IrcClient,
        authors: IrcAuthors,
        intake: Intake,
        since: datetime | None,
    ) -> None:
        self._config = config
        self._client = client
        self._authors = authors
        self._intake = intake
        self._pending: asyncio.Queue[Message | _Command] = asyncio.Queue(WAITING)
        self._session: IrcSession | None = None
        self._history = IrcHistory()
        self._held: list[Message] | None = []  # while history is read; None when messages flow
        self._equal: Counter[tuple[str, ...]] = Counter()
        self._moment = 0
        self._since = since  # all before it was read
        self._from: datetime | None = None  # the same, when the session began

    async def read(self, feeding: "asyncio.Task[None]") -> None:
        """Reads, and connects again, until cancelled."""
        why, pause = "it did not run", 0.0
        while True:
            begun = time.monotonic()
            session = await self._client.session()
            self._intake.report("connection", "")
            self._intake.connected()
            try:
                await self._catch_up(session, why)
            except TransientError as problem:
                if not session.ended.is_set():
                    raise
                log.info("what was missed could not be read: %s", problem)
            ending = asyncio.create_task(session.ended.wait())
            try:
                await asyncio.wait({ending, feeding}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ending.cancel()
            if feeding.done():
                await feeding
            why = session.reason
            self._intake.report("connection", f"{why}; it is made again")
            pause = 0.0 if time.monotonic() - begun > STEADY else min(2 * pause + 1.0, LONGEST_PAUSE)
            await asyncio.sleep(pause - 1.0 if pause else 0.0)  # the first time at once

    async def feed(self) -> None:
        """Hands over what was read, and answers commands, until cancelled."""
        kept = datetime.min.replace(tzinfo=UTC)
        while True:
            batch = [await self._pending.get()]
            while len(batch) < BATCH and not self._pending.empty():
                batch.append(self._pending.get_nowait())
            messages = [item for item in batch if isinstance(item, Message)]
            if messages:
                await self._intake.accept(messages)
                if now() - kept > KEEP:
                    kept = now()
                    await self._keep(messages[-1].sent_at or kept)
            for item in batch:
                if isinstance(item, _Command):
                    await self._resolve(item)

    def report(self, topic: str, problem: str) -> None:
        """See `Intake.report`."""
        self._intake.report(topic, problem)

    def gap(self, detail: str) -> None:
        """See `Intake.gap`."""
        self._intake.gap(detail)

    async def hear(self, session: IrcSession, line: Line, *, past: bool) -> None:
        """Takes what somebody wrote."""
        if session is not self._session:
            self._begin(session)
        if line.command not in {"PRIVMSG", "NOTICE"} or not line.params[1:] or not line.source:
            return
        state = session.state
        name = line.params[0].lstrip("".join(state.isupport.statusmsg))
        channel = self._client.places.written(name)
        if channel not in self._client.channels:
            return
        at = moment((line.tags or {}).get("time")) or now()
        if past:
            self._history.heard(channel, at, (line.tags or {}).get("msgid", ""))
            if self._from is None or at < self._from - OVERLAP:
                return
        if channel == self._client.moderators:
            if not past:
                await self._take_command(session, line, channel)
            return
        message = self._message(session, line, channel, at, past=past)
        if message is None:
            return
        if self._held is not None:
            self._held.append(message)
            return
        self._since = min(at, now())
        await self._pending.put(message)

    def _begin(self, session: IrcSession) -> None:
        """Holds what is heard until the past was read, so that a channel's messages keep their order."""
        self._session, self._history, self._held = session, IrcHistory(), self._held or []
        self._from = self._since
        self._equal.clear()

    def _message(self, session: IrcSession, line: Line, channel: str, at: datetime, *, past: bool) -> Message | None:
        """The message to judge; None where there is none, or it is passed over."""
        state, tags, nick = session.state, line.tags or {}, line.hostmask.nickname
        text = written(line.params[1])
        author, userhost = self._authors.of(session, line, channel, past=past)
        own = state.is_me(nick) or (past and userhost == f"{state.username}@{state.hostname}")
        if not text or not author.id or own:
            return None
        if self._config.exempts(
            authors=(author.id, author.name, userhost),
            channels=_names(channel),
            roles=author.roles,
            bot=any(
                key.rpartition("/")[2] == "bot" for key in tags if not key.startswith("+")
            ),  # + is the author's own
        ):
            return None
        return Message(
            id=tags.get("msgid") or self._made_id(channel, str(line.source), at, line.params[1], past=past),
            text=text,
            platform="irc",
            community=state.isupport.network or self._client.host,
            channel=channel,
            author=author,
            sent_at=at,
            reply_to=tags.get("+draft/reply") or tags.get("+reply") or None,
        )

    def _made_id(self, channel: str, source: str, at: datetime, text: str, *, past: bool) -> str:
        """Equal messages of one moment are counted, in what is told of the past and in what comes now alike."""
        instant = round(at.timestamp() * 1000)
        if not past and instant != self._moment:
            self._moment = instant
            self._equal = Counter({key: count for key, count in self._equal.items() if key[0] == "past"})
        key = ("past" if past else "now", channel, source, str(instant), text)
        self._equal[key] += 1
        return made_id(channel, source, at, text, self._equal[key])

    async def _catch_up(self, session: IrcSession, why: str) -> None:
        """Lets through what was held, with what was written meanwhile where the server tells it."""
        if session is not self._session:  # nothing was heard yet
            self._begin(session)
        since = self._from
        if since is not None:
            read = [name for name in self._client.channels if not self._config.exempts(channels=_names(name))]
            there = [name for name in read if name != self._client.moderators and session.state.has_channel(name)]
            missed = [name for name in there if not await self._history.read(session, name, since)]
            if missed:
                self._intake.gap(f"{why}, and IRC sends nothing again: {', '.join(missed)}")
        else:
            self._since = now()
            await self._keep(self._since)
        first = since if since is not None else now()
        while self._held:
            held, self._held = sorted(self._held, key=lambda message: message.sent_at or first), []
            for message in held:
                await self._pending.put(message)
        self._held = None

    async def _take_command(self, session: IrcSession, line: Line, channel: str) -> None:
        found, nick = commanded(written(line.params[1])), line.hostmask.nickname
        if found is None or line.command != "PRIVMSG" or OPERATORS.isdisjoint(modes_of(session, nick, channel)):
            return
        author, _ = self._authors.of(session, line, channel, past=False)
        await self._pending.put(_Command(*found, f"{nick} ({author.id})"))

    async def _resolve(self, command: _Command) -> None:
        said = await self._intake.resolve(command.seq, approve=command.approve, moderator=command.moderator)
        try:
            session, channel = await self._client.session(), self._client.moderators
            await session.ask("PRIVMSG", channel, cut(said, session.room("PRIVMSG", channel)))
        except (PermanentError, TransientError) as problem:
            log.warning("a moderator got no answer: %s", problem)

    async def _keep(self, at: datetime) -> None:
        await self._intake.keep(BOOKMARK, f"{at.timestamp():.3f}")


def _names(channel: str) -> tuple[str, str]:
    """How the operator may name a channel: with its sign, or without."""
    return channel, channel.lstrip("#&+!")
