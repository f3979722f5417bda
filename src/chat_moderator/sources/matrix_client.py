"""Calls to a Matrix homeserver: the client library, rate limits, and what its errors mean."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import aiohttp
import msgspec

from chat_moderator.errors import (
    ForbiddenError,
    MissingExtraError,
    NotFoundError,
    PermanentError,
    TransientError,
    UnauthorizedError,
)
from chat_moderator.sources.connection import ConnectionConfig

try:
    import nio
except ImportError as problem:
    raise MissingExtraError("source 'matrix'", "matrix") from problem

# What it says about an event that is not as it should be holds the event.
logging.getLogger("nio").setLevel(logging.CRITICAL)

PATIENCE: Final = 20.0
"""Seconds that a call waits for its turn; whoever would wait longer is told when to come back."""

REFUSED: Final = 300.0
"""Seconds after a refused token before it is tried again."""

REFUSED_TOKEN: Final = "the homeserver refuses the token: log the account in anew and copy its access token"  # noqa: S105
API: Final = "/_matrix/client/v3"


class MatrixConfig(ConnectionConfig, frozen=True, kw_only=True):
    """`homeserver`: its address; `token`: the access token of the account that moderates.

    Authors are named by their id, or its first part where they are of the same homeserver; rooms by id, alias or name.
    Roles are `member`, `moderator` (power level 50) and `admin` (100). `moderators_channel` is a room's id.
    """

    homeserver: str
    token: str


class MatrixClient:
    """The library's client of one account, made on first use.

    Args:
        homeserver: its address.
        token: the account's.
    """

    def __init__(self, homeserver: str, token: str) -> None:
        self._homeserver = homeserver.rstrip("/")
        self._token = token
        self._nio: nio.AsyncClient | None = None
        self._entering = asyncio.Lock()
        self._not_before = 0.0
        self._refused_until = 0.0

    @property
    def refused(self) -> bool:
        """Whether the token is worth nothing, as far as is known."""
        return time.monotonic() < self._refused_until

    async def entered(self) -> nio.AsyncClient:
        """The library's client, which knows its account.

        Raises:
            TransientError: the homeserver cannot be reached, or refuses the token.
        """
        async with self._entering:
            if self._nio is None:
                settings = nio.AsyncClientConfig(
                    encryption_enabled=False, max_limit_exceeded=0, max_timeouts=0, request_timeout=60
                )
                entering = nio.AsyncClient(self._homeserver, config=settings)
                entering.access_token = self._token
                try:
                    await self._answered(entering.whoami, "log in", "")
                except BaseException:
                    await entering.close()
                    raise
                self._nio = entering
            return self._nio

    async def call(self, make: Callable[[nio.AsyncClient], Awaitable[Any]], needs: str, room: str = "") -> Any:
        """The library's answer to a call.

        Args:
            make: makes it.
            needs: the permission that it takes, for the error.
            room: where it is made.

        Raises:
            TransientError: to be tried again, after the time that the homeserver names.
            NotFoundError: there is no such thing.
            PermanentError: it is not allowed, or not possible.
        """
        client = await self.entered()
        return await self._answered(lambda: make(client), needs, room)

    async def account_data(self, kind: str) -> dict[str, Any]:
        """What the account keeps on its homeserver under a name; empty where there is nothing."""
        client = await self.entered()
        try:
            kept = await self.ask(["user", client.user_id, "account_data", kind], "read its account data")
        except NotFoundError:
            return {}
        return kept if isinstance(kept, dict) else {}

    async def keep_account_data(self, kind: str, data: dict[str, Any]) -> None:
        """Keeps it there."""
        client = await self.entered()
        await self.ask(["user", client.user_id, "account_data", kind], "write its account data", put=data)

    async def ask(
        self,
        path: Sequence[str],
        needs: str,
        room: str = "",
        *,
        put: dict[str, Any] | None = None,
        base: str = API,
    ) -> Any:
        """The body of the answer to a call that the library has no method for; errors as `call` raises them."""
        client = await self.entered()
        return await self._answered(lambda: self._raw(client, path, put, base), needs, room)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._nio is not None:
            await self._nio.close()
            self._nio = None

    async def _raw(self, client: nio.AsyncClient, path: Sequence[str], put: dict[str, Any] | None, base: str) -> Any:
        built = nio.Api._build_path(list(path), base_path=base)  # noqa: SLF001 -- it quotes every part
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        body = None if put is None else msgspec.json.encode(put).decode()
        response = await client.send("GET" if put is None else "PUT", built, body, headers)
        found = await client.parse_body(response)
        if response.status < 400:  # noqa: PLR2004 -- HTTP's own classes
            return found
        refusal = nio.ErrorResponse.from_dict(found)
        refusal.transport_response = response
        return refusal

    async def _answered(self, make: Callable[[], Awaitable[Any]], needs: str, room: str) -> Any:
        now = time.monotonic()
        if now < self._refused_until:
            raise UnauthorizedError(REFUSED_TOKEN, retry_after=timedelta(seconds=self._refused_until - now))
        while (wait := self._not_before - time.monotonic()) > 0:
            if wait > PATIENCE:
                raise TransientError("the homeserver asks to wait", retry_after=timedelta(seconds=wait))
            await asyncio.sleep(wait)
        try:
            answer = await make()
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            raise TransientError(f"the homeserver cannot be reached: {type(problem).__name__}") from problem
        if isinstance(answer, nio.ErrorResponse):
            raise self._translated(answer, needs, room)
        return answer

    def _translated(self, answer: nio.ErrorResponse, needs: str, room: str) -> TransientError | PermanentError:
        status = getattr(answer.transport_response, "status", 0)
        where = f" in room {room}" if room else ""
        if status == 429 or answer.status_code == "M_LIMIT_EXCEEDED":  # noqa: PLR2004 -- HTTP's own
            wait = (answer.retry_after_ms or 1000) / 1000
            self._not_before = max(self._not_before, time.monotonic() + wait)
            return TransientError("the homeserver asks to wait", retry_after=timedelta(seconds=wait))
        if status == 401:  # noqa: PLR2004
            self._refused_until = time.monotonic() + REFUSED
            return UnauthorizedError(REFUSED_TOKEN, retry_after=timedelta(seconds=REFUSED))
        if status == 403:  # noqa: PLR2004
            return ForbiddenError(
                f"the homeserver forbids it{where}: the account needs the power level to {needs} there"
            )
        if status == 404:  # noqa: PLR2004
            return NotFoundError(f"there is no such thing{where} ({needs})")
        if 400 <= status < 500:  # noqa: PLR2004
            return PermanentError(
                f"the homeserver refused to {needs}{where}: {status} {answer.status_code or ''}".rstrip()
            )
        return TransientError(f"the homeserver is at fault: {status or type(answer).__name__}")
