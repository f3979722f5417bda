"""Becomes known to an IRC server: capabilities, passwords, a nick that is free."""

import asyncio
import base64
import re
from typing import Final

from irctokens.line import Line

from chat_moderator.errors import PermanentError, TransientError
from chat_moderator.sources.irc_session import IrcSession

PATIENCE: Final = 60.0
"""Seconds that it may take."""

WANTED: Final[tuple[str, ...]] = (
    "account-notify",
    "account-tag",
    "batch",
    "cap-notify",
    "chghost",
    "draft/chathistory",
    "draft/message-redaction",
    "extended-join",
    "message-tags",
    "multi-prefix",
    "server-time",
    "userhost-in-names",
)
"""Capabilities that are asked for where the server has them."""

TRIES: Final = 5
"""Nicks that are tried."""

SERVICE: Final = "NickServ"
_REFUSED: Final = re.compile(r"incorrect|invalid|wrong|not registered|isn't registered|denied|fail", re.IGNORECASE)
_ACCEPTED: Final = re.compile(r"now (?:identified|logged|recognized)|accepted", re.IGNORECASE)
_TURNED_AWAY: Final = re.compile(r"password|denied|authori[sz]ed|banned|lined", re.IGNORECASE)
_NO_LOGIN: Final = {"902", "904", "905", "906", "908"}


class Registration:
    """One registration.

    Args:
        nick: wanted.
        account: whose password `password` is; the account of the services.
        password: empty where there is no account.
        server_password: empty where the server has none.
    """

    def __init__(self, session: IrcSession, nick: str, account: str, password: str, server_password: str) -> None:
        self._session = session
        self._nick = nick
        self._account = account
        self._password = password
        self._server_password = server_password
        self._tries = 0
        self._logged_in = False
        self.problem = ""

    async def register(self) -> None:
        """Returns once the server takes commands.

        Raises:
            PermanentError: a password is wrong, the nick is none, or the server bans us.
            TransientError: it refuses for now, or does not answer.
        """
        session = self._session
        try:
            async with asyncio.timeout(PATIENCE):
                session.write("CAP", "LS", "302")
                if self._server_password:
                    session.write("PASS", self._server_password)
                session.write("NICK", self._nick)
                session.write("USER", re.sub(r"[^\w-]", "", self._nick)[:10] or "moderator", "0", "*", "chat-moderator")
                while (line := await session.next()).command not in {"376", "422"}:
                    self._take(line)
                if self._password and not self._logged_in:
                    await self._ask_services()
        except TimeoutError as problem:
            raise TransientError(f"IRC server {session.state.name} does not let us in in time") from problem

    def _take(self, line: Line) -> None:
        match line.command:
            case "CAP":
                self._agree(line)
            case "AUTHENTICATE":
                self._authenticate()
            case "903":
                self._logged_in = True
                self._session.write("CAP", "END")
            case "433" | "436" | "437":
                self._tries += 1
                if self._tries >= TRIES:
                    name = self._session.state.name
                    raise TransientError(f"IRC server {name}: the nick {self._nick} and others like it are in use")
                self._session.write("NICK", self._nick + "_" * self._tries)
            case _:
                self._look(line)

    def _look(self, line: Line) -> None:
        """Whether the server turns us away."""
        name, said = self._session.state.name, _last(line)
        if line.command in _NO_LOGIN:
            raise PermanentError(
                f"IRC server {name} does not let the account {self._account} in: account and password have to be "
                "those that its services know"
            )
        if line.command == "432":
            raise PermanentError(f"IRC server {name} takes {self._nick!r} for no nick: choose another in nick")
        if line.command == "464":
            raise PermanentError(f"IRC server {name} refuses the password: server_password has to be the server's")
        if line.command in {"465", "466"} or (line.command == "ERROR" and _TURNED_AWAY.search(said)):
            raise PermanentError(
                f"IRC server {name} does not let us in ({said}): look at server_password, and ask its operators "
                "whether they allow this address"
            )
        if line.command == "ERROR":
            raise TransientError(f"IRC server {name} does not let us in for now: {said}")

    def _agree(self, line: Line) -> None:
        session, state = self._session, self._session.state
        kind = line.params[1].upper() if line.params[1:] else ""
        if kind == "LS" and line.params[2:3] != ["*"]:
            wanted = [each for each in WANTED if each in state.available_caps]
            if self._password and "PLAIN" in (state.available_caps.get("sasl") or "PLAIN").split(","):
                wanted += ["sasl"] if "sasl" in state.available_caps else []
            if wanted:
                session.write("CAP", "REQ", " ".join(wanted))
            else:
                session.write("CAP", "END")
        elif kind == "ACK" and session.has("sasl"):
            session.write("AUTHENTICATE", "PLAIN")
        elif kind in {"ACK", "NAK"}:
            session.write("CAP", "END")

    def _authenticate(self) -> None:
        secret = base64.b64encode(f"\0{self._account}\0{self._password}".encode()).decode()
        chunks = [secret[start : start + 400] for start in range(0, len(secret), 400)]
        for chunk in (*chunks, *(("+",) if len(chunks[-1]) == 400 else ())):  # noqa: PLR2004 -- the protocol's own
            self._session.write("AUTHENTICATE", chunk)

    async def _ask_services(self) -> None:
        """Without SASL: tells the services, and waits a little for what they say."""
        session = self._session
        session.write("PRIVMSG", SERVICE, f"IDENTIFY {self._account} {self._password}")
        answered = False
        try:
            async with asyncio.timeout(SERVICES):
                while not answered:
                    line = await session.next()
                    from_services = line.source is not None and line.hostmask.nickname.lower() == SERVICE.lower()
                    if line.command in {"401", "440"} and SERVICE in line.params:
                        self.problem = f"there is no {SERVICE} here to let the account {self._account} in"
                        answered = True
                    elif line.command == "900":
                        answered = True
                    elif line.command == "NOTICE" and from_services:
                        said = _last(line)
                        refused = _REFUSED.search(said) is not None
                        answered = refused or _ACCEPTED.search(said) is not None
                        if refused:
                            self.problem = f"{SERVICE} does not let the account {self._account} in: {said}"
        except TimeoutError:
            return


SERVICES: Final = 5.0
"""Seconds that the services have to answer."""


def _last(line: Line) -> str:
    return line.params[-1][:200] if line.params else ""
