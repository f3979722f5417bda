"""Acts on Discord through its REST API; needs no Gateway, so a function may act too."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, Final

import aiohttp

from chat_moderator.errors import ForbiddenError, PermanentError, SkippedError, TransientError, UnauthorizedError
from chat_moderator.sources.connection import ConnectionConfig
from chat_moderator.sources.discord_alerts import LIMIT, NOBODY, alert_of, escaped
from chat_moderator.sources.discord_library import MultipartParameters, Route, discord
from chat_moderator.sources.discord_limits import PATIENCE, DiscordLimits, retry_after
from chat_moderator.sources.gathering import Gathering
from chat_moderator.types import Message, Outcome, Record, now

BULK: Final = 100
BULK_AGE: Final = timedelta(days=13, hours=23)
"""One id over 14 days fails a whole bulk deletion; an hour is left for clocks."""

LONGEST_TIMEOUT: Final = timedelta(days=28) - timedelta(minutes=1)
CALL: Final = 60.0
"""Seconds that a call may take, with its waits for rate limits."""

REFUSED: Final = 300.0
"""Seconds after a refused token before it is tried again."""

EPOCH: Final = 1_420_070_400_000
NO_PRIVATE: Final = frozenset({50007, 50278})
REFUSED_TOKEN: Final = (
    "Discord refuses the token: copy a new one from https://discord.com/developers/applications, Bot, Reset Token"  # noqa: S105
)


class DiscordConfig(ConnectionConfig, frozen=True, kw_only=True):
    """`token`: of the bot; `public_key`: of the application, for interactions by webhook; `api`: where its API is.

    Roles may be named by name or id, channels by id or name, authors by id or username. `moderators_channel` is an id.
    """

    token: str
    public_key: str = ""
    api: str = "https://discord.com/api/v10"


class DiscordEnforcer:
    """Implements `Enforcer`. Its identifiers are Discord's; in a thread a message's id is `THREAD:MESSAGE`."""

    def __init__(self, config: DiscordConfig, *, limits: DiscordLimits | None = None) -> None:
        self._config = config
        self._limits = limits or DiscordLimits()
        self._rest: discord.Client | None = None
        self._entering = asyncio.Lock()
        self._refused_until = 0.0
        self._private: dict[str, str] = {}
        self._deletions = Gathering(self._delete_ids, most=BULK)
        Route.BASE = config.api

    async def delete(self, message: Message, *, reason: str) -> None:
        """See `Enforcer.delete`; deletions in a channel that come together become one call."""
        channel, identifier = place_of(message)
        await self._deletions.add((channel, reason), identifier)

    async def delete_many(self, messages: Sequence[Message], *, reason: str) -> None:
        """Deletes messages, a hundred a call; those already gone are success."""
        await asyncio.gather(*(self.delete(message, reason=reason) for message in messages))

    async def timeout(self, message: Message, *, length: timedelta, reason: str) -> None:
        """See `Enforcer.timeout`; at most 28 days."""
        until = now() + min(length, LONGEST_TIMEOUT)
        await self._set_timeout(message, until.isoformat(), reason)

    async def reply(self, message: Message, *, text: str) -> None:
        """Writes to the author privately; one who takes no private messages is left alone."""
        author = message.author.id
        async with self._calling("send private messages") as http:
            channel = self._private.get(author)
            if channel is None:
                self._private[author] = channel = str((await http.start_private_message(int(author)))["id"])
                if len(self._private) > 10_000:  # noqa: PLR2004 -- a bound, nothing more
                    del self._private[next(iter(self._private))]
            await self._send(http, channel, {"content": text[:LIMIT]}, nonce=_nonce("reply", message))

    async def release(self, message: Message) -> None:
        """Shows the text again, under its author's name but as the bot: a deleted message cannot come back."""
        channel, _ = place_of(message)
        head = f"**{escaped(message.author.name)}** wrote:"
        parts = [message.text[start : start + LIMIT - 200] for start in range(0, len(message.text), LIMIT - 200)]
        async with self._calling("Send Messages", channel) as http:
            for number, part in enumerate(parts):
                content = f"{head}\n{part}" if not number else part
                await self._send(http, channel, {"content": content}, nonce=_nonce(f"release{number}", message))

    async def alert(self, record: Record) -> bool:
        """See `Enforcer.alert`."""
        channel = self._config.moderators_channel
        if not channel:
            return False
        async with self._calling("Send Messages", channel) as http:
            await self._send(http, channel, alert_of(record), nonce=_nonce(f"alert{record.seq}", record.message))
        return True

    async def undo(self, message: Message, outcome: Outcome) -> None:
        """Ends a timeout; shows a deleted message again as `release` does."""
        match outcome.action:
            case "timeout":
                await self._set_timeout(message, None, "a moderator took it back")
            case "delete" | "hold":
                await self.release(message)
            case action:
                raise PermanentError(f"{action} cannot be taken back")

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._rest is not None:
            await self._rest.close()
            self._rest = None

    async def _set_timeout(self, message: Message, until: str | None, reason: str) -> None:
        async with self._calling("Moderate Members", message.channel) as http:
            try:
                await http.edit_member(
                    int(message.community),
                    int(message.author.id),
                    reason=_audited(reason),
                    communication_disabled_until=until,
                )
            except discord.NotFound as problem:
                raise SkippedError("the author has left the server") from problem

    async def _delete_ids(self, key: tuple[str, str], identifiers: Sequence[str]) -> None:
        channel, reason = key
        young = [
            each for each in identifiers if now().timestamp() * 1000 - _made(each) < BULK_AGE.total_seconds() * 1000
        ]
        bulk = young if len(young) > 1 else []
        async with self._calling("Manage Messages", channel) as http:
            if bulk:
                try:
                    await http.delete_messages(int(channel), [int(each) for each in bulk], reason=_audited(reason))
                except discord.HTTPException as problem:
                    if problem.status != 400:  # noqa: PLR2004 -- one of them is not as Discord wants it
                        raise
                    bulk = []
            for each in identifiers:
                if each not in bulk:
                    with contextlib.suppress(discord.NotFound):
                        await http.delete_message(int(channel), int(each), reason=_audited(reason))

    async def _send(self, http: Any, channel: str, payload: dict[str, Any], *, nonce: str) -> None:
        """Discord drops what comes again under a nonce within minutes, so an uncertain answer doubles nothing."""
        whole = {"allowed_mentions": NOBODY, **payload, "nonce": nonce, "enforce_nonce": True}
        await http.send_message(int(channel), params=MultipartParameters(whole, None, None))

    @contextlib.asynccontextmanager
    async def _calling(self, permission: str, channel: str = "") -> AsyncIterator[Any]:
        """The library's REST client; what goes wrong is told in our terms.

        Args:
            permission: what Discord asks for.
            channel: where.
        """
        try:
            async with asyncio.timeout(CALL):
                yield await self._entered()
        except (discord.HTTPException, discord.RateLimited, aiohttp.ClientError, OSError) as problem:
            if isinstance(problem, discord.HTTPException) and problem.status == 401:  # noqa: PLR2004
                self._refused_until = self._limits.clock() + REFUSED
            raise translated(problem, permission, channel) from problem

    async def _entered(self) -> Any:
        async with self._entering:
            wait = self._refused_until - self._limits.clock()
            if wait > 0:
                raise UnauthorizedError(REFUSED_TOKEN, retry_after=timedelta(seconds=wait))
            if self._rest is None:
                rest = discord.Client(
                    intents=discord.Intents.none(),
                    http_trace=self._limits.trace,
                    max_ratelimit_timeout=max(30.0, PATIENCE),
                )
                try:
                    await rest.login(self._config.token)
                except discord.LoginFailure as problem:
                    await rest.close()
                    self._refused_until = self._limits.clock() + REFUSED
                    raise UnauthorizedError(REFUSED_TOKEN, retry_after=timedelta(seconds=REFUSED)) from problem
                except BaseException:
                    await rest.close()
                    raise
                self._rest = rest
        return self._rest.http


def translated(problem: Exception, permission: str, channel: str) -> TransientError | PermanentError:
    """What an error of the library means to a caller.

    Args:
        problem: as the library raised it.
        permission: what the call needs.
        channel: where it was made; empty where it was nowhere.
    """
    match problem:
        case discord.RateLimited():
            return TransientError("Discord asks to wait", retry_after=timedelta(seconds=problem.retry_after))
        case discord.HTTPException(status=429):
            wait = retry_after(problem.response.headers.get("Retry-After", ""))
            return TransientError("Discord asks to wait", retry_after=wait or timedelta(seconds=REFUSED))
        case discord.HTTPException(status=401):
            return UnauthorizedError(REFUSED_TOKEN, retry_after=timedelta(seconds=REFUSED))
        case discord.HTTPException(status=status) if status < 500:  # noqa: PLR2004 -- HTTP's own classes
            return _refusal(problem, permission, channel)
        case _:
            return TransientError(f"Discord cannot be reached or is at fault: {type(problem).__name__}")


def _refusal(problem: discord.HTTPException, permission: str, channel: str) -> PermanentError:
    where = f" in channel {channel}" if channel else ""
    if problem.code in NO_PRIVATE:
        return SkippedError("the author takes no private messages")
    if problem.status == 403:  # noqa: PLR2004
        return ForbiddenError(
            f"Discord forbids it{where}: the bot needs the permission {permission!r} there, and its role has to stand "
            "above its author's (Server Settings, Roles)"
        )
    return PermanentError(f"Discord refused it{where}: {problem.status}, code {problem.code}")


def place_of(message: Message) -> tuple[str, str]:
    """The channel or thread that a message is in, and its id there."""
    thread, _, identifier = message.id.rpartition(":")
    return thread or message.channel, identifier


def _made(identifier: str) -> int:
    """When a snowflake was made, in Unix milliseconds."""
    return (int(identifier) >> 22) + EPOCH


def _nonce(purpose: str, message: Message) -> str:
    """The same for the same purpose, 25 characters at most."""
    return hashlib.sha256(f"{purpose} {message.key}".encode(errors="replace")).hexdigest()[:24]


def _audited(reason: str) -> str:
    return f"chat-moderator: {reason}"[:400]
