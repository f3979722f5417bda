"""API keys: made once, kept as a hash."""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final

from msgspec import Meta

from chat_moderator.errors import NotFoundError
from chat_moderator.store.database import Command, Context, Query
from chat_moderator.types import Role, Struct


class KeyLimits(Struct, omit_defaults=True, frozen=True):
    """What a key may use: `rate` requests a second, `burst` of them at once, `quota` texts a day; 0 is without limit.

    A `burst` of 0 is twice the rate, at least 1. The day is that of UTC.
    """

    rate: Annotated[float, Meta(ge=0.0, le=1e6)] = 0.0
    burst: Annotated[int, Meta(ge=0, le=10**9)] = 0
    quota: Annotated[int, Meta(ge=0, le=10**15)] = 0

    @property
    def at_once(self) -> float:
        """Requests that may come at once where there is a rate."""
        return float(self.burst or max(1.0, 2 * self.rate))


class Key(Struct, omit_defaults=True, frozen=True):
    """What is known of a key; never the secret."""

    id: str
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None = None
    limits: KeyLimits = KeyLimits()


class NewKey(Struct, frozen=True):
    """A key just made; `token` is shown this once."""

    key: Key
    token: str


class CreateKey(Command[NewKey], frozen=True):
    """Makes a key of a role; its secret has 256 random bits, so that one round of SHA-256 is enough at rest."""

    result: ClassVar[Any] = NewKey
    name: str
    role: Role
    limits: KeyLimits = KeyLimits()

    def apply(self, context: Context) -> NewKey:
        identifier, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        context.run(
            "INSERT INTO keys (id, name, role, hash, created_at, rate, burst, quota) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (identifier, self.name, self.role.value, _hash(secret), context.at, *_columns(self.limits)),
        )
        created = datetime.fromtimestamp(context.at, UTC)
        key = Key(id=identifier, name=self.name, role=self.role, created_at=created, limits=self.limits)
        return NewKey(key=key, token=f"cm_{identifier}_{secret}")


class RevokeKey(Command[None], frozen=True):
    """Ends a key at once.

    Raises:
        NotFoundError: there is no such key.
    """

    id: str

    def apply(self, context: Context) -> None:
        context.run("UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", (context.at, self.id))
        if not context.connection.changes():
            raise NotFoundError(f"there is no key {self.id!r}")


class LimitKey(Command[Key], frozen=True):
    """Gives a key other limits, in force within a second.

    Raises:
        NotFoundError: there is no such key.
    """

    result: ClassVar[Any] = Key
    id: str
    limits: KeyLimits

    def apply(self, context: Context) -> Key:
        context.run("UPDATE keys SET rate = ?, burst = ?, quota = ? WHERE id = ?", (*_columns(self.limits), self.id))
        row = next(iter(context.connection.execute(f"SELECT {_SELECTED} FROM keys WHERE id = ?", (self.id,))), None)
        if row is None:
            raise NotFoundError(f"there is no key {self.id!r}")
        return _key(*row)


class ListKeys(Query[list[Key]], frozen=True):
    """All keys, the revoked ones too, oldest first."""

    result: ClassVar[Any] = list[Key]

    def answer(self, context: Context) -> list[Key]:
        rows = context.connection.execute(f"SELECT {_SELECTED} FROM keys ORDER BY created_at, id")
        return [_key(*row) for row in rows]


class Authenticate(Query[Key | None], frozen=True):
    """The key that a token belongs to; None where it is unknown, wrong or revoked."""

    result: ClassVar[Any] = Key | None
    token: str

    def answer(self, context: Context) -> Key | None:
        identifier, _, secret = self.token.removeprefix("cm_").partition("_")
        row = next(
            iter(context.connection.execute(f"SELECT hash, {_SELECTED} FROM keys WHERE id = ?", (identifier,))),
            None,
        )
        known = row[0] if row else bytes(32)
        if not hmac.compare_digest(known, _hash(secret)) or row is None or row[5] is not None:
            return None
        return _key(*row[1:])


def read_key(context: Context, identifier: str) -> tuple[Key, bytes] | None:
    """A key that is not revoked, and the hash of its secret."""
    sql = f"SELECT hash, {_SELECTED} FROM keys WHERE id = ? AND revoked_at IS NULL"
    row = next(iter(context.connection.execute(sql, (identifier,))), None)
    return (_key(*row[1:]), row[0]) if row is not None else None


class AnyKey(Query[bool], frozen=True):
    """Whether a key was ever made that is not revoked."""

    result: ClassVar[Any] = bool

    def answer(self, context: Context) -> bool:
        return bool(context.value("SELECT EXISTS (SELECT 1 FROM keys WHERE revoked_at IS NULL)"))


def _columns(limits: KeyLimits) -> tuple[float, int, int]:
    return limits.rate, limits.burst, limits.quota


def _key(  # noqa: PLR0917 -- a row
    identifier: str, name: str, role: str, created: float, revoked: float | None, rate: float, burst: int, quota: int
) -> Key:
    return Key(
        id=identifier,
        name=name,
        role=Role(role),
        created_at=datetime.fromtimestamp(created, UTC),
        revoked_at=datetime.fromtimestamp(revoked, UTC) if revoked is not None else None,
        limits=KeyLimits(rate, burst, quota),
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


_SELECTED: Final = "id, name, role, created_at, revoked_at, rate, burst, quota"
