"""The one connection of an IRC account, made on first use and again after it was lost, for reading and acting."""

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from irctokens.line import Line

from chat_moderator.errors import ConfigError, PermanentError, TransientError
from chat_moderator.sources.connection import ConnectionConfig
from chat_moderator.sources.irc_channels import IrcChannels
from chat_moderator.sources.irc_limits import Pace
from chat_moderator.sources.irc_registration import Registration
from chat_moderator.sources.irc_session import IrcSession

PORTS: Final = {"irc": 6667, "ircs": 6697}
REFUSED: Final = 300.0
"""Seconds after a refused password before it is tried again."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
REGAIN: Final = 60.0
"""Seconds after which the nick is asked for again that somebody else had."""

FAREWELL: Final = "chat-moderator ends"


class IrcConfig(ConnectionConfig, frozen=True, kw_only=True):
    """`server`: `ircs://HOST` with TLS or `irc://HOST` without, and a port where it is another; `nick`; `channels`.

    `account`, `password`: of the services (SASL, else NickServ), the nick where empty; `server_password`;
    `certificate_authority`: a file, where the server's is not a public one; `kick`: what is blocked removes its author
    from the channel; `rate`, `burst`: lines a second and at once that are sent; `silence`: seconds without a word from
    the server after which the connection is lost. A channel's key stands behind its name: `#name KEY`.
    """

    server: str
    nick: str
    channels: str | tuple[str, ...]
    account: str = ""
    password: str = ""
    server_password: str = ""
    certificate_authority: str = ""
    kick: bool = False
    rate: float = 0.5
    burst: int = 5
    silence: float = 120.0


class Listener(Protocol):
    """Who reads: is given every line, and told what an operator has to know."""

    async def hear(self, session: IrcSession, line: Line, *, past: bool) -> None:
        """A line, in order; `past` where it tells of what was before."""

    def report(self, topic: str, problem: str) -> None:
        """See `Intake.report`."""

    def gap(self, detail: str) -> None:
        """See `Intake.gap`."""


class IrcClient:
    """Keeps a session.

    Raises:
        ConfigError: an address, a nick or a channel is none, a number is not above 0, or a file cannot be read.
    """

    def __init__(self, config: IrcConfig) -> None:
        self._config = config
        address = urlsplit(config.server)
        try:
            host, port = address.hostname, address.port
        except ValueError:
            host, port = None, None
        if address.scheme not in PORTS or not host or address.path.strip("/"):
            raise ConfigError("server", "an address such as ircs://irc.libera.chat or irc://127.0.0.1:6667 is needed")
        self.host, self._port = host, port or PORTS[address.scheme]
        if not re.fullmatch(r"[^\s:,!@#&+~%\d-][^\s:,!@]*", config.nick):
            raise ConfigError("nick", f"{config.nick!r} is no nick: no spaces, and no digit or sign at its beginning")
        listed = config.channels.split(",") if isinstance(config.channels, str) else config.channels
        self.channels = dict(_keyed(each, "channels") for each in listed if each.strip())
        if not self.channels:
            raise ConfigError("channels", "the name of at least one channel is needed, such as #general")
        self.moderators = ""
        if config.moderators_channel:
            self.moderators, key = _keyed(config.moderators_channel, "moderators_channel")
            self.channels.setdefault(self.moderators, key)
        for key in ("rate", "burst", "silence"):
            if getattr(config, key) <= 0:
                raise ConfigError(key, "a number above 0 is needed")
        self._tls = _tls(config.certificate_authority) if address.scheme == "ircs" else None
        self._pace = Pace(config.rate, config.burst)
        self._session: IrcSession | None = None
        self._places: IrcChannels | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._entering = asyncio.Lock()
        self._problems: dict[str, str] = {}
        self._listener: Listener | None = None
        self._pause = 0.0
        self._not_before = 0.0
        self._freed = asyncio.Event()
        self.refusal = ""

    async def session(self) -> IrcSession:
        """The session, in its channels.

        Raises:
            TransientError: the server cannot be reached, or refuses a password (then `refusal` says so).
        """
        async with self._entering:
            if self._session is None or self._session.ended.is_set():
                wait = self._not_before - time.monotonic()
                if wait > 0:
                    raise TransientError(
                        self.refusal or f"IRC server {self.host} is tried again later",
                        retry_after=timedelta(seconds=wait),
                    )
                await self._leave()
                await self._enter()
            session = self._session
            assert session is not None  # noqa: S101 -- it was entered
            return session

    @property
    def places(self) -> IrcChannels:
        """The channels of the session that stands, or stood last.

        Raises:
            TransientError: there was none.
        """
        if self._places is None:
            raise TransientError(f"IRC server {self.host} was not reached yet")
        return self._places

    @property
    def problems(self) -> tuple[str, ...]:
        """What stands against it now."""
        return tuple(self._problems.values())

    def attach(self, listener: Listener | None) -> None:
        """Gives every line to a listener from now on, and what stands against it now."""
        self._listener = listener
        if listener is not None:
            for topic, problem in self._problems.items():
                listener.report(topic, problem)

    def report(self, topic: str, problem: str) -> None:
        """Keeps a problem until it is called with an empty one, and tells who listens."""
        known = self._problems.pop(topic, "")
        if problem:
            self._problems[topic] = problem
        if self._listener is not None and (problem or known):
            self._listener.report(topic, problem)

    async def ask(self, command: str, *params: str) -> list[Line]:
        """What the server says to a line, in its session."""
        return await (await self.session()).ask(command, *params)

    async def aclose(self) -> None:
        """Leaves the server."""
        async with self._entering:
            await self._leave()

    async def _enter(self) -> None:
        config = self._config
        session = IrcSession(self.host, self._port, self._tls, pace=self._pace, silence=config.silence)
        registration = Registration(
            session, config.nick, config.account or config.nick, config.password, config.server_password
        )
        try:
            await session.connect()
            await registration.register()
            self.refusal = ""
            self.report("account", f"IRC server {self.host}: {registration.problem}" if registration.problem else "")
            self._places = IrcChannels(session, self.channels, self.report, self._gap)
            session.start(lambda line, past: self._hear(session, line, past=past))
            await self._places.join()
        except PermanentError as problem:
            await session.aclose()
            self.refusal = str(problem)
            self._not_before = time.monotonic() + REFUSED
            raise TransientError(self.refusal, retry_after=timedelta(seconds=REFUSED)) from problem
        except TransientError:
            await session.aclose()
            self._pause = min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
            self._not_before = time.monotonic() + self._pause
            raise
        except BaseException:
            await session.aclose()
            raise
        self._session, self._pause, self._not_before = session, 0.0, 0.0
        self._tasks = [asyncio.create_task(self._places.run()), asyncio.create_task(self._regain(session))]

    async def _leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._session is not None:
            await self._session.aclose(FAREWELL)
            self._session = None

    async def _hear(self, session: IrcSession, line: Line, *, past: bool) -> None:
        if not past and self._places is not None:
            with contextlib.suppress(IndexError, ValueError):
                self._places.heard(line)
        gone = line.hostmask.nickname if line.command in {"QUIT", "NICK"} and line.source else ""
        if gone and session.state.casefold_equals(gone, self._config.nick):
            self._freed.set()
        if self._listener is not None:
            await self._listener.hear(session, line, past=past)

    async def _regain(self, session: IrcSession) -> None:
        """Takes the nick that was wanted once it is free, which after a lost connection our own ghost may have."""
        wanted = self._config.nick
        while not session.ended.is_set():
            taken = not session.state.casefold_equals(session.state.nickname, wanted)
            self.report(
                "nick",
                f"IRC server {self.host}: the nick {wanted} is in use, so we are {session.state.nickname}; it is taken "
                "once it is free"
                if taken
                else "",
            )
            if not taken:
                return
            self._freed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REGAIN):
                    await self._freed.wait()
            with contextlib.suppress(TransientError):
                await session.ask("NICK", wanted)

    def _gap(self, detail: str) -> None:
        if self._listener is not None:
            self._listener.gap(detail)


def has_refused(answers: Sequence[Line], *numbers: str) -> Line | None:
    """The first answer of some numbers; None where there is none."""
    return next((line for line in answers if line.command in numbers), None)


def _keyed(written: str, path: str) -> tuple[str, str]:
    """A channel's name and key."""
    name, _, key = written.strip().partition(" ")
    if not re.fullmatch(r"[#&+!][^\s,:\x07]+", name):
        raise ConfigError(path, f"{name!r} is no name of a channel; #general is one, and its key stands behind it")
    return name, key.strip()


def _tls(authority: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(Path(authority).expanduser()) if authority else None)
    except (OSError, ssl.SSLError) as problem:
        raise ConfigError(
            "certificate_authority", f"{authority} cannot be read as certificates: {problem}"
        ) from problem
