"""A small IRC server with what InspIRCd lacks: accounts, CHATHISTORY, REDACT, a list of its own for who is silenced.

It speaks to one client, the connection under test; people are told by the test.
"""

import asyncio
import base64
import contextlib
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

from irctokens.line import Line, tokenise

ACCOUNT, SECRET = "moderator", "correct horse"
CAPABILITIES: Final = (
    "account-notify account-tag batch draft/chathistory draft/message-redaction extended-join message-tags "
    "multi-prefix sasl=PLAIN,EXTERNAL server-time userhost-in-names"
)
CHANNEL, MODERATORS = "#general", "#moderators"
SUPPORTED: Final = (
    "CHANMODES=beIq,k,l,imnpst PREFIX=(ov)@+ CHANTYPES=# NETWORK=Modern CASEMAPPING=rfc8265 CHATHISTORY=3"
)


class ModernIrc:
    """The server."""

    def __init__(self) -> None:
        self.capabilities = CAPABILITIES
        self.operator = True
        self.port = 0
        self.said: list[tuple[datetime, str, str, str]] = []  # when, id, tags and source, text
        self.redacted: list[str] = []
        self.silenced: list[str] = []
        self.got: list[Line] = []
        self.writer: asyncio.StreamWriter | None = None
        self.serving: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._changed = asyncio.Condition()

    def say(self, text: str, nick: str = "ada", account: str = "", command: str = "PRIVMSG") -> str:
        """Somebody writes; the id."""
        at = datetime.now(UTC).replace(microsecond=next(self._numbers) % 1000 * 1000)
        last = self.said[-1][0] if self.said else at
        at = max(at, last + timedelta(milliseconds=1))
        identifier = f"id-{next(self._numbers)}"
        tags = f"time={at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z;msgid={identifier}"
        tags += f";account={account}" if account else ""
        source = f"@{tags} :{nick}!{nick}@host.example {command}"
        self.said.append((at, identifier, source, text))
        self.send(f"{source} {CHANNEL} :{text}")
        return identifier

    def send(self, line: str | bytes) -> None:
        if self.writer is not None:
            self.writer.write((line if isinstance(line, bytes) else line.encode()) + b"\r\n")

    def lose(self) -> None:
        """The connection breaks."""
        assert self.writer is not None
        self.writer.transport.abort()
        self.writer = None

    async def until(self, command: str, count: int = 1) -> list[Line]:
        """The lines of a command that came, once there are so many."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: len(self.lines(command)) >= count)
        return self.lines(command)

    def lines(self, command: str) -> list[Line]:
        return [line for line in self.got if line.command == command]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        before, self.writer = self.writer, writer
        assert before is None or before.is_closing() or before.transport.is_closing()
        self.nick, self.waits, self.named, self.known = "*", False, False, False
        with contextlib.suppress(ConnectionError):
            while data := await reader.readline():
                line = tokenise(data.strip(b"\r\n"))
                self.answer(line)
                self.got.append(line)
                async with self._changed:
                    self._changed.notify_all()
        writer.close()

    def answer(self, line: Line) -> None:
        answer = getattr(self, f"on_{line.command.lower()}", None)
        if answer is not None:
            answer(line.params)

    def on_cap(self, params: list[str]) -> None:
        self.waits = params[0] != "END"
        if params[0] == "LS":
            self.send(f":server CAP * LS :{self.capabilities}")
        elif params[0] == "REQ":
            self.send(f":server CAP * ACK :{params[1]}")
        self.welcome()

    def on_nick(self, params: list[str]) -> None:
        self.nick = params[0]

    def on_user(self, params: list[str]) -> None:
        self.named = True
        self.welcome()

    def on_join(self, params: list[str]) -> None:
        own = f"{self.nick}!bot@us.example"
        for name in params[0].split(","):
            self.send(f":{own} JOIN {name} * :bot")
            self.send(f":server 353 {self.nick} = {name} :{'@' if self.operator else ''}{own} ada!ada@host.example")
            self.send(f":server 366 {self.nick} {name} :End")

    def on_ping(self, params: list[str]) -> None:
        self.send(f":server PONG server :{params[0]}")

    def on_privmsg(self, params: list[str]) -> None:
        if params[0] == "NickServ":
            right = params[1] == f"IDENTIFY {ACCOUNT} {SECRET}"
            said = f"You are now identified for {ACCOUNT}." if right else f"Invalid password for {ACCOUNT}."
            self.send(f":NickServ!services@services.example NOTICE {self.nick} :{said}")

    def on_quit(self, params: list[str]) -> None:
        if self.writer is not None:
            self.writer.close()

    def welcome(self) -> None:
        if not self.named or self.waits or self.known:
            return
        self.known = True
        self.send(f":server 001 {self.nick} :Welcome")
        self.send(f":server 005 {self.nick} {SUPPORTED} :are supported")
        self.send(f":server 422 {self.nick} :No message of the day")

    def on_authenticate(self, params: list[str]) -> None:
        said = params[0]
        if said == "PLAIN":
            self.send("AUTHENTICATE +")
        elif base64.b64decode(said).decode().split("\0") == ["", ACCOUNT, SECRET]:
            self.send(f":server 900 {self.nick} {self.nick}!bot@us.example {ACCOUNT} :You are now logged in")
            self.send(f":server 903 {self.nick} :SASL authentication successful")
        else:
            self.send(f":server 904 {self.nick} :SASL authentication failed")

    def on_mode(self, params: list[str]) -> None:
        name, mode, masks = params[0], params[1], params[2:]
        if not masks:
            for mask in self.silenced:
                self.send(f":server 728 {self.nick} {name} q {mask} somebody 1")
            self.send(f":server 729 {self.nick} {name} q :End")
        elif not self.operator:
            self.send(f":server 482 {self.nick} {name} :You're not a channel operator")
        elif mode == "+q":
            self.silenced.append(masks[0])
        else:
            self.silenced.remove(masks[0])

    def on_redact(self, params: list[str]) -> None:
        name, identifier = params[:2]
        known = identifier in {each[1] for each in self.said} - set(self.redacted)
        if not self.operator:
            self.send(f"FAIL REDACT REDACT_FORBIDDEN {name} {identifier} :You may not")
        elif not known:
            self.send(f"FAIL REDACT UNKNOWN_MSGID {name} {identifier} :There is none")
        else:
            self.redacted.append(identifier)

    def on_chathistory(self, params: list[str]) -> None:
        kind, name, after, limit = params
        assert kind == "AFTER"
        key, _, value = after.partition("=")
        if key == "timestamp":
            found = [each for each in self.said if each[0] > datetime.fromisoformat(value)]
        else:
            found = self.said[[each[1] for each in self.said].index(value) + 1 :]
        self.send(f":server BATCH +1 chathistory {name}")
        for _, _, source, text in found[: int(limit)]:
            self.send(f"@batch=1;{source[1:]} {name} :{text}")
        self.send(":server BATCH -1")


@contextlib.asynccontextmanager
async def modern_irc() -> AsyncIterator[ModernIrc]:
    modern = ModernIrc()
    server = await asyncio.start_server(modern.serve, "127.0.0.1", 0)
    modern.port = server.sockets[0].getsockname()[1]
    try:
        yield modern
    finally:
        server.close()
        if modern.writer is not None:
            modern.writer.transport.abort()
        await asyncio.gather(*modern.serving)
