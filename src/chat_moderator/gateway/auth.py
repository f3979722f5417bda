"""Who calls: bearer tokens and their roles, and without any key nobody but this machine.

A page of another site must not reach a moderator that runs on the same machine as the browser: its requests carry a
foreign Origin, or a foreign Host where it made a name point here (DNS rebinding).
"""

import hashlib
import time
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, cast
from urllib.parse import parse_qs

from litestar.types import Scope

from chat_moderator.config import ServerSettings
from chat_moderator.errors import ConfigError
from chat_moderator.gateway.contract import Contract
from chat_moderator.gateway.problems import ProblemError
from chat_moderator.store.database import Store
from chat_moderator.store.keys import AnyKey, Authenticate, KeyLimits
from chat_moderator.store.tickets import PREFIX, CheckTicket, Ticket
from chat_moderator.types import Role, Struct

REMEMBERED: Final = 0.9
"""Seconds that an answer of the store is used again, so that a key revoked elsewhere ends within a second."""

SUBPROTOCOL: Final = "bearer."
"""A browser, which can set no header of a WebSocket, offers its token as a subprotocol after this."""

_CAPACITY: Final = 4096
_PROXY: Final = frozenset((b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"true-client-ip", b"cf-connecting-ip"))


class Caller(Struct, frozen=True):
    """Who calls: a key's id, role and limits; `token` lets a long connection ask whether the key still stands.

    With a ticket the key is the one that signed it.
    """

    id: str
    role: Role
    token: str = ""
    limits: KeyLimits = KeyLimits()
    ticket: Ticket | None = None

    @property
    def client(self) -> str:
        """Whose messages and decisions they are: the key's, or those of one author of its tickets."""
        return self.id if self.ticket is None else f"{self.id}/{self.ticket.author.id}"


LOCAL: Final = Caller("local", Role.ADMIN)
VISITOR: Final = Caller("visitor", Role.CLIENT)


class KeyRing:
    """Answers of the store about keys, remembered for less than a second.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._callers: dict[bytes, tuple[float, Caller | None]] = {}
        self._any = (0.0, False)

    def forget(self) -> None:
        """Asks the store anew from now on."""
        self._callers.clear()
        self._any = (0.0, False)

    async def keyless(self) -> bool:
        """Whether there is no key at all."""
        until, found = self._any
        if self._clock() >= until:
            found = await self._store.ask(AnyKey())
            self._any = (self._clock() + REMEMBERED, found)
        return not found

    async def caller(self, token: str) -> Caller | None:
        """Whose token it is; None where it is unknown, wrong or revoked."""
        place = hashlib.sha256(token.encode()).digest()
        until, caller = self._callers.get(place, (0.0, None))
        if self._clock() >= until:
            caller = await self._ask(token)
            if len(self._callers) >= _CAPACITY:
                self._callers.clear()
            self._callers[place] = (self._clock() + REMEMBERED, caller)
        return caller

    async def _ask(self, token: str) -> Caller | None:
        if token.startswith(PREFIX):
            found = await self._store.ask(CheckTicket(token=token))
            return Caller(found[0].id, Role.CLIENT, token, found[0].limits, found[1]) if found is not None else None
        key = await self._store.ask(Authenticate(token=token))
        return Caller(key.id, key.role, token, key.limits) if key is not None else None

    async def stands(self, caller: Caller) -> bool:
        """Whether a caller admitted earlier would be admitted now."""
        if caller.token:
            return await self.caller(caller.token) is not None
        return caller is VISITOR or await self.keyless()


class Gate:
    """Admits callers.

    Raises:
        ConfigError: an address of a proxy or an origin is not one.
    """

    def __init__(self, keys: KeyRing, settings: ServerSettings) -> None:
        self.keys = keys
        self._proxies = tuple(
            _network(text, f"server.trusted_proxies[{index}]") for index, text in enumerate(settings.trusted_proxies)
        )
        for index, origin in enumerate(settings.origins):
            _check_origin(origin, f"server.origins[{index}]")
        self._origins = frozenset(origin.encode() for origin in settings.origins)

    async def admit(self, scope: Scope, contract: Contract[Any, Any]) -> Caller | None:
        """Who calls; None where the first frame is still to say.

        Raises:
            ProblemError: 401 or 403.
        """
        headers = dict(scope["headers"])
        self._refuse_foreign_origin(headers)
        near = self._refusal_of_distance(scope, headers)
        if await self.keys.keyless():
            if near is not None:
                raise ProblemError(HTTPStatus.FORBIDDEN, near)
            return LOCAL
        if contract.needs is None:
            return VISITOR
        given = _key_of_google(scope, headers) if contract.key_in_query else None
        if given is not None:
            return await self._known_to_google(given, contract.needs)
        token = _token(scope, headers)
        if token is not None:
            return await self.known(token, contract.needs, tickets=contract.tickets)
        if contract.on_loopback and near is None:
            return VISITOR
        if contract.in_frames:
            return None
        raise _unauthenticated("A key is needed: Authorization: Bearer …", "", reason="key_missing")

    async def _known_to_google(self, token: str, needed: Role) -> Caller:
        """Like `known`; Google calls a wrong key in the query a bad request."""
        if await self.keys.caller(token) is None:
            raise ProblemError(
                HTTPStatus.BAD_REQUEST, "API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID"
            )
        return await self.known(token, needed)

    async def known(self, token: str, needed: Role, *, tickets: bool = False) -> Caller:
        """Whose token it is.

        Raises:
            ProblemError: 401 for a token that is unknown, 403 for a role that is not enough, or for a ticket where none
                is taken.
        """
        caller = await self.keys.caller(token)
        if caller is None:
            what = "ticket is unknown or over" if token.startswith(PREFIX) else "key is unknown or revoked"
            raise _unauthenticated(f"This {what}.", ', error="invalid_token"')
        if caller.ticket is not None and not tickets:
            raise ProblemError(HTTPStatus.FORBIDDEN, "A key is needed; a ticket is not enough here.")
        if not caller.role.may(needed):
            raise ProblemError(
                HTTPStatus.FORBIDDEN, f"A key with the role {needed} is needed; this one is a {caller.role}."
            )
        return caller

    def _refuse_foreign_origin(self, headers: dict[bytes, bytes]) -> None:
        origin = headers.get(b"origin")
        if origin is None or origin in self._origins:
            return
        _, separator, place = origin.partition(b"://")
        if not separator or place != headers.get(b"host"):
            raise ProblemError(
                HTTPStatus.FORBIDDEN, "Pages of other origins may not call; server.origins names those that may."
            )

    def _refusal_of_distance(self, scope: Scope, headers: dict[bytes, bytes]) -> str | None:
        """Why a call does not count as one from this machine; None where it does."""
        address = str((scope.get("client") or ("",))[0])
        if any(name in _PROXY or name.startswith(b"x-forwarded-") for name in headers):
            if not self._trusts(address):
                return "Without any key, calls through a proxy are refused unless server.trusted_proxies names it."
            address = self._client(headers)
        if not is_loopback(address):
            return "Without any key, only this machine may call: make one with chat-moderator keys create."
        host = _host(headers.get(b"host", b"").decode("latin-1"))
        if host != "localhost" and not is_loopback(host):
            return "Without any key, only the hosts localhost and 127.0.0.1 are answered."
        return None

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)

    def _client(self, headers: dict[bytes, bytes]) -> str:
        """The last address that no trusted proxy has; a proxy must name it in X-Forwarded-For."""
        chain = [part.strip() for part in headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")]
        return next((address for address in reversed(chain) if not self._trusts(address)), "")


@lru_cache(1024)
def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return (mapped or parsed).is_loopback


def _host(header: str) -> str:
    """The name or address of a Host header, without its port."""
    bracketed, closed, _ = header.removeprefix("[").partition("]")
    return (bracketed if closed else header.partition(":")[0]).lower()


def _token(scope: Scope, headers: dict[bytes, bytes]) -> str | None:
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if scheme:
        raise _unauthenticated("The scheme Bearer is needed: Authorization: Bearer …", "")
    offered: list[str] = cast("list[str]", scope.get("subprotocols") or [])
    return next((each.removeprefix(SUBPROTOCOL) for each in offered if each.startswith(SUBPROTOCOL)), None)


def _key_of_google(scope: Scope, headers: dict[bytes, bytes]) -> str | None:
    """The key in the query or in Google's header; None where there is none."""
    header = headers.get(b"x-goog-api-key")
    if header is not None:
        return header.decode("latin-1").strip()
    values = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("key")
    return values[0].strip() if values else None


def _unauthenticated(detail: str, parameters: str, *, reason: str = "") -> ProblemError:
    challenge = {"www-authenticate": f'Bearer realm="chat-moderator"{parameters}'}
    return ProblemError(HTTPStatus.UNAUTHORIZED, detail, headers=challenge, reason=reason)


def _network(text: str, path: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as problem:
        raise ConfigError(path, f"{text!r} is no address or network, such as 10.0.0.7 or 10.0.0.0/24") from problem


def _check_origin(text: str, path: str) -> None:
    scheme, separator, place = text.partition("://")
    if scheme not in {"http", "https"} or not separator or not place or set(place) & set("/?#@* "):
        raise ConfigError(path, f"{text!r} is no origin, such as https://chat.example.org")
