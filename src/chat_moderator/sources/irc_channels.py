"""The channels of an IRC connection: joins them, says why it cannot, and comes back after a kick."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from irctokens.line import Line

from chat_moderator.errors import PermanentError, TransientError
from chat_moderator.sources.irc_session import IrcSession

log = logging.getLogger(__name__)

AT_ONCE: Final = 10
"""Channels that one line joins."""

AGAIN: Final = 60.0
"""Seconds before a channel that could not be joined is tried again."""

OPERATOR: Final = 15.0
"""Seconds that services may take to make us an operator after we joined."""

CURES: Final = {
    "403": "there is no such channel: look at its name in channels",
    "405": "the server lets nobody be in more channels: spread them over two connections",
    "437": "the server does not let it be used for now; it is tried again",
    "471": "it is full (+l): raise its limit, or let a channel operator invite {nick}",
    "473": "only who is invited may join (+i): let an operator write /mode {channel} +I {nick}!*@*, or /invite {nick}",
    "474": "we are banned there (+b): let a channel operator lift it, /mode {channel} +e {nick}!*@*",
    "475": "its key (+k) is missing or wrong: write it behind the name in channels, '{channel} KEY'",
    "476": "that is no name of a channel: look at channels",
    "477": "only registered nicks may join (+r): give account and password",
    "489": "only connections with TLS may join (+z): begin server with ircs://",
}
"""What stands against joining, by the server's number."""

Report = Callable[[str, str], None]


class IrcChannels:
    """The channels of one session.

    Args:
        keys: by name as the operator wrote it; an empty key where the channel has none.
        report: shows the operator a problem by its topic, or with an empty one that it is mended.
        gap: counts that messages may have been missed.
    """

    def __init__(
        self, session: IrcSession, keys: Mapping[str, str], report: Report, gap: Callable[[str], None]
    ) -> None:
        self._session = session
        self._keys = keys
        self._report = report
        self._gap = gap
        self._again = asyncio.Event()
        self._entered: dict[str, float] = {}
        self._was_operator: set[str] = set()
        self._lost: set[str] = set()

    async def join(self, names: Sequence[str] = ()) -> None:
        """Joins channels, all where none are named; what cannot be joined is reported and leaves the others alone."""
        ordered = sorted(names or self._keys, key=lambda name: not self._keys[name])  # those with keys first
        for start in range(0, len(ordered), AT_ONCE):
            part = ordered[start : start + AT_ONCE]
            keys = [self._keys[name] for name in part if self._keys[name]]
            answers = await self._session.ask("JOIN", ",".join(part), *([",".join(keys)] if keys else []))
            for name in part:
                self._look(name, answers)
            for name in part:
                if self._session.state.has_channel(name) and not self._knows_accounts():
                    await self._session.ask(*_whox(self._session, name))

    async def run(self) -> None:
        """Joins again what was lost, until cancelled or the session ends."""
        while not self._session.ended.is_set():
            await self._again.wait()
            await asyncio.sleep(FIRST)
            while missing := [name for name in self._keys if not self._session.state.has_channel(name)]:
                try:
                    await self.join(missing)
                except TransientError as problem:
                    log.info("channels wait to be joined again: %s", problem)
                if self._session.ended.is_set():
                    return
                if any(not self._session.state.has_channel(name) for name in missing):
                    await asyncio.sleep(AGAIN)
            self._again.clear()

    def heard(self, line: Line) -> None:
        """Looks whether a line takes us out of a channel, or changes what we may do there."""
        state = self._session.state
        if line.command == "KICK" and state.is_me(line.params[1]):
            name, by = self.written(line.params[0]), line.hostmask.nickname
            self._lost.add(name)
            self._report(
                f"channel {name}",
                f"IRC channel {name}: {by} kicked us ({line.params[-1][:100]}); it is joined again, and to keep us out "
                "take it from channels",
            )
            self._again.set()
        elif line.command == "JOIN" and not state.is_me(line.hostmask.nickname):
            self._report(f"empty {self.written(line.params[0])}", "")
        elif line.command in {"MODE", "353"}:
            name = self.written(line.params[0] if line.command == "MODE" else line.params[2])
            if self.is_operator(name):
                self._was_operator.add(name)
                self._report(f"operator {name}", "")

    def is_in(self, name: str) -> bool:
        """Whether we are there."""
        return bool(self._session.state.has_channel(name))

    def is_operator(self, name: str) -> bool:
        """Whether we may set modes there."""
        state = self._session.state
        channel = state.get_channel(name)
        own = channel.users.get(state.nickname_lower) if channel is not None else None
        return own is not None and not own.modes.isdisjoint({"q", "a", "o"})

    def demand(self, name: str) -> None:
        """Does nothing where we are an operator.

        Raises:
            TransientError: we are not there, or may become one any moment.
            PermanentError: we are none.
        """
        state, name = self._session.state, self.written(name)
        if self.is_operator(name):
            return
        if not state.has_channel(name):
            raise TransientError(f"IRC channel {name}: we are not in it for now")
        since = time.monotonic() - self._entered.get(name, 0.0)
        if name not in self._was_operator and since < OPERATOR:
            raise TransientError(f"IRC channel {name}: {state.nickname} is not yet a channel operator")
        raise self.refused(name)

    def refused(self, name: str) -> PermanentError:
        """Shows the operator that the right to act is missing; the error says so too."""
        nick = self._session.state.nickname
        problem = (
            f"IRC channel {name}: {nick} is no channel operator there: let one write /mode {name} +o {nick}, or "
            f"/msg ChanServ FLAGS {name} {nick} +oO"
        )
        self._report(f"operator {name}", problem)
        return PermanentError(problem)

    def _look(self, name: str, answers: Sequence[Line]) -> None:
        state = self._session.state
        if state.has_channel(name):
            self._report(f"channel {name}", "")
            if name in self._lost:
                self._lost.discard(name)
                self._gap(f"we were not in IRC channel {name} for a while")
            self._entered[name] = time.monotonic()
            self._was_operator.discard(name)
            channel = state.get_channel(name)
            if channel is not None and len(channel.users) == 1:
                self._report(
                    f"empty {name}",
                    f"IRC channel {name}: nobody is there, and joining may have made it: look at its name in channels",
                )
            return
        refusals = [line for line in answers if name.lower() in (param.lower() for param in line.params[1:-1])]
        why = refusals[-1].command if refusals else ""
        said = refusals[-1].params[-1] if refusals else "the server says nothing"
        cure = CURES.get(why, "let a channel operator look why")
        told = cure.format(channel=name, nick=state.nickname)
        self._lost.add(name)
        self._report(f"channel {name}", f"IRC channel {name} cannot be joined ({said[:100]}): {told}")
        self._again.set()

    def written(self, name: str) -> str:
        """A channel's name as the operator wrote it."""
        folded = self._session.state.casefold
        return next((known for known in self._keys if folded(known) == folded(name)), name)

    def _knows_accounts(self) -> bool:
        return self._session.has("account-tag") or not self._session.state.isupport.whox


FIRST: Final = 3.0
"""Seconds before a channel is joined again after a kick."""


def _whox(session: IrcSession, name: str) -> tuple[str, ...]:
    line = session.state.prepare_whox(name)
    return (line.command, *line.params)
