"""Tickets: what a key signs for one author, for a short time; nothing is kept, and they end with their key."""

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, ClassVar, Final

import msgspec

from chat_moderator.errors import NotFoundError
from chat_moderator.store.database import Context, Query
from chat_moderator.store.keys import Key, read_key
from chat_moderator.types import Author, Struct

PREFIX: Final = "cmt_"


class Ticket(Struct, omit_defaults=True, frozen=True):
    """Who writes, and in which channel (any where it is empty); `until` in Unix seconds."""

    author: Author
    until: float
    channel: str = ""


class SignTicket(Query[str], frozen=True):
    """The token of a ticket.

    Raises:
        NotFoundError: there is no such key, or it was revoked.
    """

    result: ClassVar[Any] = str
    key: str
    ticket: Ticket

    def answer(self, context: Context) -> str:
        found = read_key(context, self.key)
        if found is None:
            raise NotFoundError(f"there is no key {self.key!r}")
        payload = _encoded(msgspec.json.encode(self.ticket))
        return f"{PREFIX}{self.key}.{payload}.{_signature(found[1], self.key, payload)}"


class CheckTicket(Query[tuple[Key, Ticket] | None], frozen=True):
    """The key and the ticket of a token; None where it was not signed so, is over, or its key was revoked."""

    result: ClassVar[Any] = tuple[Key, Ticket] | None
    token: str

    def answer(self, context: Context) -> tuple[Key, Ticket] | None:
        identifier, _, rest = self.token.removeprefix(PREFIX).partition(".")
        payload, _, signature = rest.partition(".")
        found = read_key(context, identifier)
        if found is None:
            return None
        key, secret = found
        given, expected = signature.encode(errors="replace"), _signature(secret, identifier, payload).encode()
        if not hmac.compare_digest(given, expected):
            return None
        try:
            ticket = _TICKET.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (msgspec.MsgspecError, binascii.Error, ValueError):
            return None  # signed by a version that wrote tickets otherwise
        return (key, ticket) if ticket.until > context.at else None


def _signature(secret: bytes, key: str, payload: str) -> str:
    signed = f"ticket.{key}.{payload}".encode(errors="surrogatepass")
    return _encoded(hmac.digest(secret, signed, hashlib.sha256))


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


_TICKET: Final = msgspec.json.Decoder(Ticket)
