"""Twitch's Web API: tokens that are renewed, rate limits that are kept, errors in our terms."""

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from chat_moderator.errors import MissingExtraError, PermanentError, TransientError, UnauthorizedError
from chat_moderator.sources.connection import ConnectionConfig

try:
    import aiohttp
except ImportError as problem:
    raise MissingExtraError("source 'twitch'", "twitch") from problem

CONSOLE: Final = "https://dev.twitch.tv/console/apps"
REFUSED: Final = timedelta(minutes=5)
"""Before a refused token is tried again."""

SCOPES: Final = (
    "moderator:manage:automod",
    "moderator:manage:banned_users",
    "moderator:manage:chat_messages",
    "moderator:manage:warnings",
    "user:read:chat",
    "user:write:chat",
)
BOT_SCOPE: Final = "user:bot"
"""What the bot's account has to allow beside, where Twitch calls a webhook."""

REFUSED_TOKEN: Final = f"Twitch refuses the token and does not renew it: authorise the bot's account anew ({CONSOLE})"


class TwitchConfig(ConnectionConfig, frozen=True, kw_only=True):
    """`client_id`, `client_secret`: of the application; `token`, `refresh_token`: of the bot's account, a moderator.

    `channels`: logins of the channels to moderate, a list or with commas; `automod`: also judges what AutoMod holds;
    `webhook`: the public address to be called at, with `webhook_secret`; without it, it connects by WebSocket.
    `api`, `id_api`, `eventsub`: where Twitch is. `moderators_channel`: the login of the channel for alerts.
    """

    client_id: str
    client_secret: str
    token: str
    refresh_token: str
    channels: tuple[str, ...] | str
    automod: bool = True
    webhook: str = ""
    webhook_secret: str = ""
    api: str = "https://api.twitch.tv/helix"
    id_api: str = "https://id.twitch.tv/oauth2"
    eventsub: str = "wss://eventsub.wss.twitch.tv/ws"


class RefusalError(PermanentError):
    """Twitch does not do it; `status` and `text` are its own."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"Twitch refused it: {status}, {text}")
        self.status = status
        self.text = text


class TwitchApi:
    """Calls as the bot's account, or as the application; connects at the first call."""

    def __init__(self, config: TwitchConfig) -> None:
        self._config = config
        self._session: aiohttp.ClientSession | None = None
        self._token, self._refresh_token = config.token, config.refresh_token
        self._app_token = ""
        self._renewing = asyncio.Lock()
        self._refused_until = 0.0
        self._not_before = 0.0
        self._me: dict[str, Any] = {}

    @property
    def session(self) -> aiohttp.ClientSession:
        """The connections."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        return self._session

    async def me(self) -> str:
        """The id of the bot's account; looks once which scopes its token has.

        Raises:
            PermanentError: a scope is missing.
            TransientError: the token is refused, or Twitch cannot be reached.
        """
        if not self._me:
            found = await self._validated()
            lacking = [scope for scope in SCOPES if scope not in (found.get("scopes") or ())]
            if lacking:
                raise PermanentError(
                    f"the token lacks the scopes {', '.join(lacking)}: authorise the bot's account anew"
                )
            self._me = found
        return str(self._me["user_id"])

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | list[tuple[str, str]] | None = None,
        body: object = None,
        *,
        app: bool = False,
    ) -> dict[str, Any]:
        """One call; a token that ran out is renewed once.

        Raises:
            RefusalError: Twitch does not do it.
            TransientError: it asks to wait, refuses the token, is at fault or cannot be reached.
        """
        used = await self._app() if app else self._token
        status, answer = await self._once(method, path, query, body, used)
        if status == HTTPStatus.UNAUTHORIZED and "scope" not in _said(answer):  # another token would lack it too
            used = await self._renewed(used, app=app)
            status, answer = await self._once(method, path, query, body, used)
        if status >= HTTPStatus.BAD_REQUEST:
            raise RefusalError(status, _said(answer))
        return answer

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _once(self, method: str, path: str, query: Any, body: object, token: str) -> tuple[int, dict[str, Any]]:
        wait = self._not_before - time.time()
        if wait > 0:
            raise TransientError("Twitch asks to wait", retry_after=timedelta(seconds=wait))
        headers = {"Authorization": f"Bearer {token}", "Client-Id": self._config.client_id}
        try:
            async with self.session.request(
                method, f"{self._config.api}{path}", params=query, json=body, headers=headers
            ) as response:
                remaining = response.headers.get("Ratelimit-Remaining", "")
                if response.status == HTTPStatus.TOO_MANY_REQUESTS or remaining == "0":
                    self._not_before = _reset(response.headers.get("Ratelimit-Reset", ""))
                if response.status == HTTPStatus.TOO_MANY_REQUESTS:
                    wait = max(0.0, self._not_before - time.time())
                    raise TransientError("Twitch asks to wait", retry_after=timedelta(seconds=wait))
                if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status == HTTPStatus.CONFLICT:
                    raise TransientError(f"Twitch answered {response.status}")
                return response.status, await _read(response)
        except (aiohttp.ClientError, OSError) as problem:
            raise TransientError(f"Twitch cannot be reached: {type(problem).__name__}") from problem

    async def _app(self) -> str:
        async with self._renewing:
            if not self._app_token:
                answer = await self._grant({"grant_type": "client_credentials"})
                self._app_token = str(answer["access_token"])
            return self._app_token

    async def _renewed(self, used: str, *, app: bool) -> str:
        """Another token than the one that was refused."""
        if app:
            self._app_token = "" if self._app_token == used else self._app_token
            return await self._app()
        async with self._renewing:
            if self._token == used:
                given = {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
                answer = await self._grant(given)
                self._token = str(answer["access_token"])
                self._refresh_token = str(answer.get("refresh_token") or self._refresh_token)
            return self._token

    async def _grant(self, given: Mapping[str, str]) -> dict[str, Any]:
        wait = self._refused_until - time.monotonic()
        if wait > 0:
            raise UnauthorizedError(REFUSED_TOKEN, retry_after=timedelta(seconds=wait))
        fields = {"client_id": self._config.client_id, "client_secret": self._config.client_secret, **given}
        try:
            async with self.session.post(f"{self._config.id_api}/token", data=fields) as response:
                if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise TransientError(f"Twitch answered {response.status}")
                if response.status >= HTTPStatus.BAD_REQUEST:
                    self._refused_until = time.monotonic() + REFUSED.total_seconds()
                    raise UnauthorizedError(REFUSED_TOKEN, retry_after=REFUSED)
                return await _read(response)
        except (aiohttp.ClientError, OSError) as problem:
            raise TransientError(f"Twitch cannot be reached: {type(problem).__name__}") from problem

    async def _validated(self) -> dict[str, Any]:
        for _ in range(2):
            token = self._token
            try:
                headers = {"Authorization": f"OAuth {token}"}
                async with self.session.get(f"{self._config.id_api}/validate", headers=headers) as response:
                    if response.ok:
                        return await _read(response)
                    if response.status != HTTPStatus.UNAUTHORIZED:
                        raise TransientError(f"Twitch answered {response.status}")
            except (aiohttp.ClientError, OSError) as problem:
                raise TransientError(f"Twitch cannot be reached: {type(problem).__name__}") from problem
            await self._renewed(token, app=False)
        raise UnauthorizedError(REFUSED_TOKEN, retry_after=REFUSED)


async def _read(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The JSON object of an answer; empty where there is none."""
    try:
        found = await response.json(content_type=None)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _said(answer: Mapping[str, Any]) -> str:
    return str(answer.get("message") or answer.get("error") or "")


def _reset(value: str) -> float:
    """When the limit is new, in Unix seconds; in a second where Twitch does not say."""
    return float(value) if value.isascii() and value.isdigit() else time.time() + 1.0
