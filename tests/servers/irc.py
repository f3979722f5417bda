"""An IRC network on loopback: InspIRCd, and people who are connected to it; a relay before it breaks the line.

The server is started once for all tests, and ends with them; so do the people's connections. Each platform has a
moderating nick of its own; the channels end with it, since everybody leaves them.
"""

import asyncio
import atexit
import contextlib
import functools
import itertools
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import trustme
from irctokens.line import Line, tokenise

from chat_moderator.testing.sources import BOTS, CONNECTS, FINAL, LASTING, PRESSES, PRIVATE, REVOKES, ROLES, ROOMS
from chat_moderator.testing.sources import TIMEOUT as TIMES_OUT
from tests.running import free_port
from tests.servers.process import ServerProcess

PASSWORD: Final = "let me in"
MODULES: Final = (
    "autoop banexception botmode callerid cap chanhistory customprefix ircv3 ircv3_accounttag ircv3_batch "
    "ircv3_ctctags ircv3_echomessage ircv3_msgid ircv3_servertime muteban namesx ssl_gnutls uhnames"
)
SETTINGS: Final = """
<server name="irc.test" description="test" id="001" network="TestNet">
<admin name="owner" nick="owner" email="owner@irc.test">
<sslprofile name="clients" provider="gnutls" certfile="{directory}/cert.pem" keyfile="{directory}/key.pem">
<bind address="127.0.0.1" port="{people}" type="clients">
<bind address="127.0.0.1" port="{guarded}" type="clients">
<bind address="127.0.0.1" port="{changed}" type="clients">
<bind address="127.0.0.1" port="{secure}" type="clients" ssl="clients">
<connect name="guarded" parent="everybody" allow="*" port="{guarded}" password="let me in">
<connect name="changed" parent="everybody" allow="*" port="{changed}" password="another">
<connect name="everybody" allow="*" port="{people},{secure}" timeout="30" pingfreq="3600" maxchans="1000"
  threshold="100000" commandrate="1" fakelag="off" recvq="1M" hardsendq="16M" softsendq="16M" localmax="1000"
  globalmax="1000" resolvehostnames="no" useident="no" limit="5000">
<class name="all" commands="*" usermodes="*" chanmodes="*" privs="*">
<type name="all" classes="all">
<oper name="owner" password="oper" host="*@*" type="all" maxchans="1000">
<options defaultmodes="not" hostintopic="no" cyclehostsfromuser="no">
<performance timeskipwarn="0">
<path configdir="{directory}" datadir="{directory}" logdir="{directory}" runtimedir="{directory}">
<chanhistory maxlines="1000" prefixmsg="no" bots="yes" enableumode="no">
<customprefix name="halfop" letter="h" rank="20000" ranktoset="30000" prefix="%">
"""
NUMBERS: Final = itertools.count(1)
ACTING: Final = (b"MODE", b"KICK", b"NOTICE", b"PRIVMSG")


class Ircd:
    """The one server, and where it listens: for people, for who knows the password, and for who knows another."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ircd"))
        self.people, self.guarded, self.changed, self.secure = (free_port() for _ in range(4))
        self.authority = trustme.CA()
        certificate = self.authority.issue_cert("localhost", "127.0.0.1")
        certificate.cert_chain_pems[0].write_to_path(self.directory / "cert.pem")
        certificate.private_key_pem.write_to_path(self.directory / "key.pem")
        self.authority.cert_pem.write_to_path(self.directory / "authority.pem")
        ports = {"people": self.people, "guarded": self.guarded, "changed": self.changed, "secure": self.secure}
        modules = "\n".join(f'<module name="{name}">' for name in MODULES.split())
        settings = self.directory / "inspircd.conf"
        settings.write_text(SETTINGS.format(directory=self.directory, **ports) + modules + "\n")
        # From elsewhere, since where it is installed the system may let it read no other settings than its own.
        program = str(shutil.copy("/usr/sbin/inspircd", self.directory))
        command = [program, "--config", str(settings), "--nofork", "--nopid", "--nolog", "--runasroot"]
        self.process = ServerProcess(command, self.people, self.directory / "log")


@functools.cache
def ircd() -> Ircd:
    started = Ircd()
    atexit.register(shutil.rmtree, started.directory, ignore_errors=True)
    atexit.register(started.process.stop, signal.SIGKILL)  # it dumps its core when it is asked to end
    return started


class Person:
    """Somebody with an IRC client. What was sent to it is read when it is asked for, so nothing is ever late."""

    def __init__(self, name: str, port: int, *modes: str) -> None:
        self.nick = name if name.isascii() else "u" + name.encode().hex()
        self.lines: list[Line] = []
        self.channels: set[str] = set()
        self._data = b""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        wanted = "message-tags server-time echo-message"
        self.send(f"CAP REQ :{wanted}", f"NICK {self.nick}", f"USER {self.nick[:10]} 0 * :{self.nick}", "CAP END")
        self.until("001")
        self.send(*modes)
        self.collect()

    def close(self) -> None:
        self._socket.close()

    def send(self, *lines: str) -> None:
        self._socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def until(self, command: str, *params: str) -> list[Line]:
        """What came, up to a line."""
        found: list[Line] = []
        while True:
            line, ended, rest = self._data.partition(b"\n")
            if not ended:
                data = self._socket.recv(65536)
                assert data, found
                self._data += data
                continue
            self._data = rest
            parsed = tokenise(line.strip(b"\r"))
            if parsed.command == "PING":
                self.send(f"PONG :{parsed.params[-1]}")
            found.append(parsed)
            self.lines.append(parsed)
            if parsed.command == command and all(param in parsed.params for param in params):
                return found

    def collect(self, *lines: str) -> list[Line]:
        """What the server says to some lines, with all that it had to say before."""
        token = f"collect-{next(NUMBERS)}"
        self.send(*lines, f"PING {token}")
        return self.until("PONG", token)

    def join(self, channel: str) -> None:
        if channel not in self.channels:
            self.collect(f"JOIN {channel}")
            self.channels.add(channel)

    def part(self, channel: str) -> None:
        self.collect(f"PART {channel}")
        self.channels.discard(channel)

    def say(self, channel: str, text: str, command: str = "PRIVMSG", tags: str = "") -> str:
        """The id that the server gave it; empty where nobody saw it."""
        said = self.collect(f"{tags}{command} {channel} :{text}")
        own = [line for line in said if line.command == command and line.hostmask.nickname == self.nick]
        return (own[-1].tags or {}).get("msgid", "") if own else ""

    def heard(self, command: str, target: str) -> list[Line]:
        """All that it ever heard there."""
        self.collect()
        return [line for line in self.lines if line.command == command and line.params[0].lower() == target.lower()]


@functools.cache
def person(name: str) -> Person:
    modes = {"owner": ("OPER owner oper",), "beep": ("MODE beep +B",)}
    return Person(name, ircd().people, *modes.get(name, ()))


class IrcPlatform:
    """Implements `Platform`."""

    name = "irc"
    can = frozenset({CONNECTS, TIMES_OUT, BOTS, ROLES, PRIVATE, PRESSES, ROOMS, REVOKES, FINAL, LASTING})

    def __init__(self) -> None:
        number = next(NUMBERS)
        self.early: list[str] = []
        self.complaints: list[str] = []
        self.nick = f"moderator{number}"
        self.owner = person("owner")
        self.channels = {name: f"#{name}" for name in ("general", "random", "moderators")}
        self.people: set[str] = set()
        self.private = True
        self.upstream = ircd().guarded
        self.lines: set[asyncio.StreamWriter] = set()
        self.relays: set[asyncio.Task[Any]] = set()
        self.latest: asyncio.StreamWriter | None = None
        self.hold_calls = asyncio.Event()  # while it is clear, acting lines are taken and not passed on
        self.hold_calls.set()
        self.held = 0
        self.port = 0
        self.frozen: set[asyncio.StreamWriter] = set()  # whose server says nothing any more
        for channel in self.channels.values():
            self.owner.join(channel)
            self.owner.collect(f"MODE {channel} +w o:{self.nick}*!*@*")
        self.owner.collect(f"MODE {self.channels['moderators']} +w o:mia!*@*")

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "server": f"irc://127.0.0.1:{self.port}",
            "nick": self.nick,
            "channels": [self.channels["general"], self.channels["random"]],
            "server_password": PASSWORD,
            "rate": 10_000.0,
            "moderators_channel": self.channels["moderators"],
        }

    async def attach(self, source: object, intake: object) -> None:
        raise AssertionError("nothing is called")

    def member(self, name: str, channel: str) -> Person:
        who = person(name)
        who.join(self.channels[channel])
        self.people.add(name)
        return who

    async def say(
        self,
        text: str,
        *,
        author: str = "ada",
        roles: tuple[str, ...] = (),
        bot: bool = False,
        own: bool = False,
        channel: str = "general",
        reply_to: str = "",
        command: str = "PRIVMSG",
        tags: str = "",
    ) -> str:
        name = self.channels[channel]
        if own:
            assert self.latest is not None
            self.latest.write(f"PRIVMSG {name} :{text}\r\n".encode())
            return ""
        who = self.member("beep" if bot else author, channel)
        if "moderator" in roles:
            self.owner.collect(f"MODE {name} +h {who.nick}")
        tags = f"@+draft/reply={reply_to} " if reply_to else tags
        return who.say(name, text, command, tags)

    async def say_nothing(self) -> None:
        eve = self.member("eve", "general")
        eve.collect(f"PRIVMSG {self.channels['general']} :\x01VERSION\x01", f"PRIVMSG {self.channels['general']} :\x02")
        eve.part(self.channels["general"])

    async def edit(self, identifier: str, text: str) -> None:
        raise AssertionError("there are no edits")

    async def repeat(self) -> None:
        """A server never does that."""

    async def press(self, seq: int, *, approve: bool) -> None:
        mia = self.member("mia", "moderators")
        mia.say(self.channels["moderators"], f"!{'undo' if approve else 'confirm'} {seq}")

    async def disconnect(self) -> None:
        for writer in self.lines:
            writer.transport.abort()

    def freeze(self) -> None:
        """The server falls silent on the connection that stands."""
        self.frozen |= self.lines

    def texts(self, channel: str = "general") -> list[str]:
        return [line.params[1] for line in self.owner.heard("PRIVMSG", self.channels[channel])]

    def told(self, author: str = "ada") -> list[str]:
        notices = person(author).heard("NOTICE", author)
        return [line.params[1] for line in notices if line.source and line.hostmask.nickname == self.nick]

    def alerts(self) -> list[str]:
        return self.texts("moderators")

    def timed_out(self) -> list[str]:
        answers = self.owner.collect(f"MODE {self.channels['general']} b")
        masks = [line.params[2].removeprefix("m:") for line in answers if line.command == "367"]
        sources = {name: f"{name}!{name[:10]}@127.0.0.1" for name in sorted(self.people)}
        return [name for name, source in sources.items() if any(fnmatchcase(source, mask) for mask in masks)]

    def kicked(self) -> list[str]:
        return [line.params[1] for line in self.owner.heard("KICK", self.channels["general"])]

    def fail(self, status: int, *, retry_after: float | None = None) -> None:
        raise AssertionError("nothing is answered with a status")

    def refuse_private(self) -> None:
        self.private = False
        person("ada").collect("MODE ada +g")

    def forbid(self) -> None:
        self.owner.collect(f"MODE {self.channels['general']} -o {self.nick}")

    def revoke(self) -> None:
        self.upstream = ircd().changed

    def present(self) -> bool:
        """Whether the moderating nick is in the last channel that it joins."""
        joined = [line for name in self.channels.values() for line in self.owner.heard("JOIN", name)]
        left = [line for line in self.owner.lines if line.command == "QUIT"]
        return self._count(joined) == len(self.channels) * (self._count(left) + 1)

    def _count(self, lines: list[Line]) -> int:
        return sum(line.hostmask.nickname == self.nick for line in lines)

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.relays.add(task)
        try:
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.transport.abort()
            return
        self.latest = upstream
        self.lines |= {writer, upstream}
        pumps = [
            asyncio.create_task(self._out(reader, upstream)),
            asyncio.create_task(self._in(upstream_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.lines -= {writer, upstream}
            writer.close()
            upstream.close()

    async def _out(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if not self.hold_calls.is_set() and line.startswith(ACTING):
                self.held += 1
                await self.hold_calls.wait()
            upstream.write(line)
            await upstream.drain()

    async def _in(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await upstream.read(65536):
            if writer not in self.frozen:
                writer.write(data)
                await writer.drain()

    def lingers(self) -> bool:
        """Whether the server still has the moderating nick."""
        self.owner.collect(f"WHOIS {self.nick}", f"WHOIS {self.nick}_")
        return any(line.command == "311" for line in self.owner.lines[-9:])

    def leave(self) -> None:
        """Nobody is left where a test was."""
        if not self.private:
            person("ada").collect("MODE ada -g")
        for name in self.people:
            who = person(name)
            for channel in self.channels.values():
                if channel in who.channels:
                    who.part(channel)
            who.lines.clear()
        for channel in self.channels.values():
            self.owner.part(channel)
        self.owner.lines.clear()


@contextlib.asynccontextmanager
async def irc_server() -> AsyncIterator[IrcPlatform]:
    await asyncio.to_thread(ircd)
    platform = IrcPlatform()
    relay = await asyncio.start_server(platform.relay, "127.0.0.1", 0, limit=1 << 20)
    platform.port = relay.sockets[0].getsockname()[1]
    try:
        yield platform
    finally:
        platform.hold_calls.set()
        relay.close()
        await platform.disconnect()
        await relay.wait_closed()
        await asyncio.gather(*platform.relays)
        while platform.lingers():
            await asyncio.sleep(0.01)
        platform.leave()
