"""Who an author is in IRC, where everybody may take any nick: the account where it is told, else `user@host`."""

from collections import OrderedDict
from typing import Final

from ircstates.user import User
from irctokens.line import Line

from chat_moderator.sources.irc_session import IrcSession
from chat_moderator.types import Author

KNOWN: Final = 20_000
"""Authors whose `user@host` is remembered after they left."""

ROLES: Final = {"q": "owner", "a": "admin", "o": "op", "h": "halfop", "v": "voice"}
"""By channel mode; the first four are moderators too."""

OPERATORS: Final = frozenset("qao")
MODERATORS: Final = frozenset("qaoh")


class IrcAuthors:
    """What is known of those who wrote."""

    def __init__(self) -> None:
        self._hosts: OrderedDict[str, str] = OrderedDict()

    def of(self, session: IrcSession, line: Line, channel: str, *, past: bool) -> tuple[Author, str]:
        """Who wrote a line, and the `user@host`; an author without an id where a server did."""
        nick, userhost = line.hostmask.nickname, userhost_of(line)
        if not userhost:
            return Author(), ""
        user = session.state.users.get(session.state.casefold(nick))
        if user is not None and past and user.userhost() != userhost:
            user = None  # the nick is somebody else's now
        if session.has("account-tag"):
            account = (line.tags or {}).get("account", "")
            if user is not None and not past:
                user.account = account  # the library leaves it as it was
        else:
            account = (user.account if user is not None else "") or ""
        author = account or userhost
        self._hosts[author] = userhost
        self._hosts.move_to_end(author)
        if len(self._hosts) > KNOWN:
            self._hosts.popitem(last=False)
        modes = modes_of(session, nick, channel) if user is not None else frozenset()
        roles = ["member", *(name for mode, name in ROLES.items() if mode in modes)]
        if not modes.isdisjoint(MODERATORS):
            roles.append("moderator")
        return Author(author, nick, tuple(roles)), userhost

    def find(self, session: IrcSession, author: Author) -> User | None:
        """Who that is now, by any nick; None for one who is gone. Somebody else with the old nick is not found."""
        users = [user for user in session.state.users.values() if author.id in {user.account, user.userhost()}]
        return next((user for user in users if user.nickname == author.name), users[0] if users else None)

    async def nick(self, session: IrcSession, author: Author) -> str:
        """By which nick an author can be written to now; empty for one who has left the network."""
        user = self.find(session, author)
        if user is not None:
            return str(user.nickname)
        known = self.userhost(session, author)
        for line in await session.ask("WHOIS", author.name):  # in none of our channels any more
            if line.command == "311" and known and f"{line.params[2]}@{line.params[3]}" == known:
                return author.name
        return ""

    def userhost(self, session: IrcSession, author: Author) -> str:
        """The `user@host` of an author; empty where it is not known (any more)."""
        user = self.find(session, author)
        found = user.userhost() if user is not None else None
        return found or (author.id if "@" in author.id else self._hosts.get(author.id, ""))


def userhost_of(line: Line) -> str:
    """The `user@host` of a line's source; empty for a server."""
    mask = line.hostmask if line.source else None
    return f"{mask.username}@{mask.hostname}" if mask is not None and mask.username and mask.hostname else ""


def modes_of(session: IrcSession, nick: str, channel: str) -> frozenset[str]:
    """The modes that somebody has in a channel."""
    place = session.state.get_channel(channel)
    member = place.users.get(session.state.casefold(nick)) if place is not None else None
    return frozenset(member.modes) if member is not None else frozenset()
