"""Forgetting: what is too old, and what belongs to an author who asked."""

import time
from pathlib import Path
from typing import Any, ClassVar, Final

import apsw

from chat_moderator.errors import ConfigError, PermanentError, TransientError
from chat_moderator.store.database import FILE, Command, Context, Query
from chat_moderator.store.migrations import MIGRATIONS

FORGOTTEN: Final = 5_000
PATIENCE: Final = 100
"""Tenths of a second to wait for readers."""


class Forget(Command[int], frozen=True):
    """Drops what is older than `before` (Unix seconds), at most 5,000 records a time; returns how many went.

    Open reviews and actions still to be done keep their records.
    """

    result: ClassVar[Any] = int
    before: float

    def apply(self, context: Context) -> int:
        context.run(_FORGET, {"before": self.before, "limit": FORGOTTEN})
        gone = context.connection.changes()
        for table in ("outcomes", "reviews", "changes"):
            context.run(f"DELETE FROM {table} WHERE seq NOT IN (SELECT seq FROM decisions)")
        if gone < FORGOTTEN:
            for table in ("seen", "replays", "dead_letters"):
                context.run(f"DELETE FROM {table} WHERE at < ?", (self.before,))
        return gone


class EraseAuthor(Command[int], frozen=True):
    """Empties text, name and roles of an author's messages in every table; the decisions stay.

    Returns how many rows changed.
    """

    result: ClassVar[Any] = int
    author_id: str
    platform: str | None = None

    def apply(self, context: Context) -> int:
        context.memory.forget()
        changed = 0
        for table, column, path in _HOLDS_TEXT:
            kept = f"json_remove({column}, '{path}.author.name', '{path}.author.roles', '{path}.author.joined_at')"
            platform = f"coalesce({column} ->> '{path}.platform', 'api')"
            context.run(
                f"UPDATE {table} SET {column} = json_set({kept}, '{path}.text', '') "
                f"WHERE {column} ->> '{path}.author.id' = :author AND (:platform IS NULL OR {platform} = :platform)",
                {"author": self.author_id, "platform": self.platform},
            )
            changed += context.connection.changes()
        return changed


class Compact(Query[None], frozen=True):
    """Rewrites the file, so that nothing deleted is left in free pages or in the log.

    Raises:
        TransientError: somebody read for so long that the log could not be emptied.
    """

    def answer(self, context: Context) -> None:
        context.run("VACUUM")
        for _ in range(PATIENCE):
            if context.value("PRAGMA wal_checkpoint(TRUNCATE)") == 0:
                return
            time.sleep(0.1)
        raise TransientError("the write-ahead log could not be emptied, since somebody reads: try again")


class Backup(Query[int], frozen=True):
    """Copies the database as it is at one moment to a new file; returns its size in bytes.

    Raises:
        PermanentError: the file exists or cannot be written.
    """

    result: ClassVar[Any] = int
    path: str

    def answer(self, context: Context) -> int:
        target = Path(self.path)
        if target.exists():
            raise PermanentError(f"{target} exists: name a new file")
        try:
            context.run("VACUUM INTO ?", (str(target),))
        except apsw.Error as problem:
            target.unlink(missing_ok=True)
            raise PermanentError(f"{target} cannot be written: {problem}") from problem
        return target.stat().st_size


class CheckIntegrity(Query[str], frozen=True):
    """SQLite's own check; `ok` when nothing is wrong."""

    result: ClassVar[Any] = str

    def answer(self, context: Context) -> str:
        return str(context.value("PRAGMA integrity_check"))


def restore(backup: Path, directory: Path) -> None:
    """Puts a backup in the place of a database that no process has open.

    Raises:
        ConfigError: the backup is missing, damaged, of a newer version or not one of ours; nothing was changed.
    """
    if not backup.is_file():
        raise ConfigError("restore", f"{backup} is not a file")
    try:
        connection = apsw.Connection(str(backup), flags=apsw.SQLITE_OPEN_READONLY)
        (version,) = next(connection.execute("PRAGMA user_version"))
        (verdict,) = next(connection.execute("PRAGMA integrity_check"))
        connection.close()
    except apsw.Error as problem:
        raise ConfigError("restore", f"{backup} is not a database: {problem}") from problem
    if verdict != "ok" or not 0 < version <= len(MIGRATIONS):
        raise ConfigError(
            "restore", f"{backup} cannot be used: integrity {verdict}, schema {version} of {len(MIGRATIONS)}"
        )
    staged = directory / f"{FILE}.restored"
    staged.write_bytes(backup.read_bytes())
    for leftover in (f"{FILE}-wal", f"{FILE}-shm"):
        (directory / leftover).unlink(missing_ok=True)
    staged.replace(directory / FILE)


# The audit is in order of time, so the search ends at the first record that is young enough.
_FORGET: Final = """
    DELETE FROM decisions WHERE seq IN (
        SELECT seq FROM decisions
        WHERE seq < coalesce((SELECT seq FROM decisions WHERE decided_at >= :before ORDER BY seq LIMIT 1), 9e18)
        AND seq NOT IN (SELECT seq FROM reviews WHERE state = 'open') AND seq NOT IN (SELECT seq FROM outbox)
        ORDER BY seq LIMIT :limit
    )
"""
_HOLDS_TEXT: Final = (
    ("decisions", "record", "$.message"),
    ("queue", "message", "$"),
    ("delayed", "message", "$"),
    ("dead_letters", "message", "$"),
)
