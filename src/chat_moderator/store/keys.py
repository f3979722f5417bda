"""API keys: made once, kept as a hash."""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from typing import Any, ClassVar

from chat_moderator.errors import NotFoundError
from chat_moderator.store.database import Command, Context, Query
from chat_moderator.types import Role, Struct


class Key(Struct, omit_defaults=True, frozen=True):
    """What is known of a key; never the secret."""

    id: str
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None = None


class NewKey(Struct, frozen=True):
    """A key just made; `token` is shown this once."""

    key: Key
    token: str


class CreateKey(Command[NewKey], frozen=True):
    """Makes a key of a role; its secret has 256 random bits, so that one round of SHA-256 is enough at rest."""

    result: ClassVar[Any] = NewKey
    name: str
    role: Role

    def apply(self, context: Context) -> NewKey:
        identifier, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        context.run(
            "INSERT INTO keys (id, name, role, hash, created_at) VALUES (?, ?, ?, ?, ?)",
            (identifier, self.name, self.role.value, _hash(secret), context.at),
        )
        created = datetime.fromtimestamp(context.at, UTC)
        key = Key(id=identifier, name=self.name, role=self.role, created_at=created)
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


class ListKeys(Query[list[Key]], frozen=True):
    """All keys, the revoked ones too, oldest first."""

    result: ClassVar[Any] = list[Key]

    def answer(self, context: Context) -> list[Key]:
        rows = context.connection.execute(
            "SELECT id, name, role, created_at, revoked_at FROM keys ORDER BY created_at, id"
        )
        return [_key(*row) for row in rows]


class Authenticate(Query[Key | None], frozen=True):
    """The key that a token belongs to; None where it is unknown, wrong or revoked."""

    result: ClassVar[Any] = Key | None
    token: str

    def answer(self, context: Context) -> Key | None:
        identifier, _, secret = self.token.removeprefix("cm_").partition("_")
        row = next(
            iter(
                context.connection.execute(
                    "SELECT hash, id, name, role, created_at, revoked_at FROM keys WHERE id = ?", (identifier,)
                )
            ),
            None,
        )
        known = row[0] if row else bytes(32)
        if not hmac.compare_digest(known, _hash(secret)) or row is None or row[5] is not None:
            return None
        return _key(*row[1:])


class AnyKey(Query[bool], frozen=True):
    """Whether a key was ever made that is not revoked."""

    result: ClassVar[Any] = bool

    def answer(self, context: Context) -> bool:
        return bool(context.value("SELECT EXISTS (SELECT 1 FROM keys WHERE revoked_at IS NULL)"))


def _key(identifier: str, name: str, role: str, created: float, revoked: float | None) -> Key:
    return Key(
        id=identifier,
        name=name,
        role=Role(role),
        created_at=datetime.fromtimestamp(created, UTC),
        revoked_at=datetime.fromtimestamp(revoked, UTC) if revoked is not None else None,
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
