"""ngIRCd on loopback: an IRC server without tags, ids, accounts or lists of who is silenced."""

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from tests.running import free_port
from tests.servers.irc import Person
from tests.servers.process import ServerProcess

SETTINGS: Final = """
[Global]
Name = irc.plain
Info = test
Listen = 127.0.0.1
Ports = {port}
MotdPhrase = none
[Limits]
MaxConnectionsIP = 0
MaxJoins = 0
MaxPenaltyTime = 0
[Options]
DNS = no
Ident = no
PAM = no
ChrootDir =
"""


class NgircdPlatform:
    """What `connected` needs of a platform, and what people do there."""

    name = "irc"

    def __init__(self, port: int) -> None:
        self.early: list[str] = []
        self.complaints: list[str] = []
        self.port = port
        self.people: dict[str, Person] = {}
        self.member("owner")  # joins first, and so is the operator

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "server": f"irc://127.0.0.1:{self.port}",
            "nick": "moderator",
            "channels": "#general",
            "rate": 10_000.0,
        }

    def member(self, name: str) -> Person:
        if name not in self.people:
            self.people[name] = Person(name, self.port)
            self.people[name].join("#general")
        return self.people[name]

    async def say(self, text: str, *, author: str = "ada") -> None:
        self.member("owner").collect("MODE #general +o moderator")
        self.member(author).say("#general", text)

    def told(self, author: str) -> list[str]:
        notices = self.member(author).heard("NOTICE", author)
        return [line.params[1] for line in notices if line.source and line.hostmask.nickname == "moderator"]


@contextlib.asynccontextmanager
async def ngircd() -> AsyncIterator[NgircdPlatform]:
    directory, port = Path(tempfile.mkdtemp(prefix="ngircd")), free_port()
    settings = directory / "ngircd.conf"
    settings.write_text(SETTINGS.format(port=port))
    directory.chmod(0o755)
    command = [str(shutil.copy("/usr/sbin/ngircd", directory)), "--nodaemon", "--config", str(settings)]
    process = await asyncio.to_thread(ServerProcess, command, port, directory / "log")
    platform = await asyncio.to_thread(NgircdPlatform, port)
    try:
        yield platform
    finally:
        for who in platform.people.values():
            who.close()
        process.stop(signal.SIGTERM)
        shutil.rmtree(directory, ignore_errors=True)
