"""One connection to an IRC server: lines out at a measured pace, lines in, and what they say about who is where."""

import asyncio
import contextlib
import itertools
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ircstates.server import Server
from irctokens.line import Line, build, tokenise

from chat_moderator.errors import PermanentError, TransientError
from chat_moderator.sources.irc_limits import Pace
from chat_moderator.sources.irc_lines import LINE, cut, unbroken

log = logging.getLogger(__name__)

ANSWER: Final = 30.0
"""Seconds that the server may take to answer."""

LONGEST_LINE: Final = 16_384
"""Bytes of a line with its tags; the protocol's own limit is half of it."""

ALIVE: Final = "alive"
"""What a ping says that asks only for a sign of life."""

REPLAYED: Final = frozenset({"chathistory", "znc.in/playback"})
"""Kinds of batches that hold what was said before."""

Hear = Callable[[Line, bool], Awaitable[None]]
"""Is given each line, and whether it tells of the past."""


class IrcSession:
    """A connection, its state by the library, and a way to ask: what comes between a line and its fence answers it.

    Args:
        host: the server's.
        port: the server's.
        tls: None for a connection without.
        pace: of what is sent.
        silence: seconds without a word from the server after which the connection is lost.

    Raises:
        TransientError: it cannot be reached, or the connection is lost.
        PermanentError: its certificate is not to be trusted.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, *, pace: Pace, silence: float) -> None:
        self.state = Server(host)
        self.ended = asyncio.Event()
        self.reason = ""
        self._host, self._port, self._tls = host, port, tls
        self._pace = pace
        self._silence = silence
        self._numbers = itertools.count(1)
        self._turn = asyncio.Lock()
        self._fence: tuple[str, list[Line], asyncio.Future[None]] | None = None
        self._batches: dict[str, str] = {}
        self._reading: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Opens the connection."""
        try:
            async with asyncio.timeout(ANSWER):
                self._reader, self._writer = await asyncio.open_connection(
                    self._host, self._port, ssl=self._tls, limit=LONGEST_LINE
                )
        except ssl.SSLCertVerificationError as problem:
            raise PermanentError(
                f"IRC server {self._host}: its certificate is not to be trusted ({problem.verify_message}): name the "
                "server as the certificate does, or its authority's file in certificate_authority"
            ) from problem
        except (OSError, TimeoutError, UnicodeError) as problem:
            raise TransientError(f"IRC server {self._host} cannot be reached: {type(problem).__name__}") from problem

    async def next(self) -> Line:
        """The next line, while nothing reads by itself; the server's pings are answered meanwhile."""
        while True:
            data = await self._received()
            with contextlib.suppress(ValueError, IndexError):
                line = tokenise(data.strip(b"\r\n"))
                self._follow(line)
                return line

    def start(self, hear: Hear) -> None:
        """Reads by itself from now on."""
        self._reading = asyncio.create_task(self._read(hear))

    def write(self, command: str, *params: str, tags: dict[str, str] | None = None) -> None:
        """Sends a line at once, cut so that everybody gets it whole; a break in it can begin no other command.

        Raises:
            PermanentError: a parameter that may hold no space holds one.
        """
        if self.ended.is_set():
            raise TransientError(self.reason)
        *middle, last = [unbroken(param) for param in params] or [""]
        room = self.room(command, *middle)
        try:
            text = build(command, [*middle, cut(last, room)] if params else [], tags=tags).format()
        except ValueError as problem:
            raise PermanentError(f"this cannot be said in IRC: {problem}") from problem
        self._writer.write(f"{text}\r\n".encode(errors="replace"))

    async def ask(self, command: str, *params: str) -> list[Line]:
        """Sends a line in its turn, and gives what the server says before it answers the ping that follows."""
        async with self._turn:
            await self._pace.wait(2)
            token = f"fence-{next(self._numbers)}"
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._fence = token, [], done
            try:
                self.write(command, *params)
                self.write("PING", token)
                ending = asyncio.create_task(self.ended.wait())
                waiting: set[asyncio.Future[Any]] = {done, ending}
                try:
                    await asyncio.wait(waiting, timeout=ANSWER, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    ending.cancel()
                if not done.done():
                    raise TransientError(self.reason or f"IRC server {self._host} does not answer")
                return self._fence[1]
            finally:
                self._fence = None

    def room(self, command: str, *middle: str) -> int:
        """Bytes of text that fit into a line, as others get it: with our nick, user and host before it."""
        state = self.state
        source = f":{state.nickname}!{state.username or 'u' * 10}@{state.hostname or 'h' * 63} "
        limit = state.isupport.raw.get("LINELEN") or ""
        line = int(limit) if limit.isdecimal() else LINE
        return line - len(f"{source}{command} {' '.join(middle)} :\r\n".encode(errors="replace"))

    def has(self, capability: str) -> bool:
        """Whether it was agreed on."""
        return capability in self.state.agreed_caps

    def close(self, reason: str) -> None:
        """Ends it."""
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()
        if hasattr(self, "_writer"):
            self._writer.close()

    async def aclose(self, farewell: str = "") -> None:
        """Ends it, with a word to the others where it still stands."""
        if farewell and not self.ended.is_set():
            with contextlib.suppress(TransientError):
                self.write("QUIT", farewell)
        self.close(f"the connection to IRC server {self._host} was closed")
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if hasattr(self, "_writer"):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._writer.wait_closed()

    async def _read(self, hear: Hear) -> None:
        try:
            while True:
                line = await self.next()
                past = self._is_past(line)
                await hear(line, past)
                if self._fence is None or past:
                    continue
                token, answers, done = self._fence
                if line.command != "PONG":
                    answers.append(line)
                elif line.params[-1:] == [token] and not done.done():
                    done.set_result(None)
                elif line.params[-1:] != [ALIVE]:  # the answer to an earlier line, which came too late
                    answers.clear()
        except TransientError as problem:
            self.close(str(problem))
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a line of IRC server %s was read in a way that was not foreseen", self._host)
            self.close(f"the connection to IRC server {self._host} was given up")

    async def _received(self) -> bytes:
        asked = False
        while True:
            try:
                async with asyncio.timeout(self._silence / 2):
                    return await self._reader.readuntil(b"\n")
            except TimeoutError as problem:
                if asked:
                    raise TransientError(
                        f"IRC server {self._host} has been silent for {self._silence:g} s"
                    ) from problem
                asked = True
                if self.state.registered:
                    self.write("PING", ALIVE)
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as problem:
                said = f": {self.reason}" if self.reason else ""
                raise TransientError(f"the connection to IRC server {self._host} was lost{said}") from problem

    def _follow(self, line: Line) -> None:
        """Keeps the state up to date; what tells of the past says nothing about now."""
        if line.command == "PING":
            self.write("PONG", *line.params)
        elif line.command == "ERROR":
            self.reason = unbroken(line.params[-1] if line.params else "")[:200]
        if self._is_past(line):
            return
        lines = [line]
        if line.command == "005":  # a token that the library does not know hides no other one
            lines = [Line(line.tags, line.source, "005", [*line.params[:1], token, "-"]) for token in line.params[1:-1]]
        for each in lines:
            try:
                self.state.parse_tokens(each)
            except Exception:  # noqa: BLE001 -- the library trusts servers to send every parameter
                log.debug("IRC server %s sent %s in a form that is not understood", self._host, each.command)
        if line.command == "BATCH" and line.params:
            if line.params[0].startswith("+"):
                self._batches[line.params[0][1:]] = line.params[1] if line.params[1:] else ""
            else:
                self._batches.pop(line.params[0][1:], None)

    def _is_past(self, line: Line) -> bool:
        return self._batches.get((line.tags or {}).get("batch", ""), "") in REPLAYED
