"""What PostgreSQL's errors mean for the caller, with the cure in the text."""

from typing import Final
from urllib.parse import unquote, urlsplit

import asyncpg

from chat_moderator.errors import ChatModeratorError, ConfigError, OverloadedError, TransientError

SETTING: Final = "store.url"

LOST: Final = (
    OSError,  # refused, reset, unknown host, and the time-out
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,  # the server stops, or an administrator ended the session
    asyncpg.InternalClientError,
)
"""Errors after which another connection may do; what was not committed did not happen."""


def failure(problem: Exception, url: str) -> ChatModeratorError:
    """The error of this package for one of the library's."""
    if isinstance(problem, ChatModeratorError):
        return problem
    for kinds, error, text in _MEANINGS:
        if isinstance(problem, kinds):
            server = urlsplit(url)
            user = unquote(server.username or "")
            told = text.format(
                user=user,
                database=unquote(server.path.strip("/")) or user,
                place=server.netloc.rpartition("@")[2] or "the socket",
                problem=str(problem) or type(problem).__name__,
                setting=SETTING,
            )
            return ConfigError(SETTING, told) if issubclass(error, ConfigError) else error(told)
    return TransientError(f"the database could not do it: {problem}")


def unusable(problem: Exception) -> ConfigError:
    """The error for a URL that the library cannot read."""
    return ConfigError(SETTING, f"is no address of a database, such as postgresql://USER:PASSWORD@HOST/NAME: {problem}")


_MEANINGS: Final[tuple[tuple[tuple[type[Exception], ...], type[ConfigError] | type[TransientError], str], ...]] = (
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        ConfigError,
        "the server does not let {user!r} in ({problem}): correct user or password",
    ),
    (
        (asyncpg.InvalidCatalogNameError,),
        ConfigError,
        "there is no database {database!r}: create it, or name another",
    ),
    (
        (asyncpg.InsufficientPrivilegeError,),
        ConfigError,
        '{user!r} may not ({problem}): GRANT CREATE, TEMPORARY ON DATABASE "{database}" TO "{user}"',
    ),
    (
        (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError),
        TransientError,
        "the tables are gone ({problem}): start again to have them made",
    ),
    (
        (asyncpg.DiskFullError, asyncpg.TooManyConnectionsError),
        OverloadedError,
        "the database cannot take it for now: {problem}",
    ),
    ((TimeoutError,), TransientError, "the database at {place} took too long to answer: check {setting}"),
    (
        LOST,
        TransientError,
        "the database at {place} cannot be reached ({problem}): check {setting}, and that the server runs",
    ),
)
"""What each kind of error means, the first that fits; `ConfigError` is for the operator to mend."""
