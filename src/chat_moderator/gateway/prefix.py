"""A path prefix that a proxy leaves in place, as Cerebrium's custom runtime may."""

import re
from typing import Final, cast

from litestar.types import ASGIApp, Receive, Scope, Send

from chat_moderator.errors import ConfigError

_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class Prefixed:
    """Serves an application under a prefix, and without it too.

    Args:
        app: what is served.
        prefix: such as `/v4/p-1a2b3c/chat-moderator`.

    Raises:
        ConfigError: the prefix is not a path.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ConfigError(
                "server.prefix", f"{prefix!r} is no path; it begins with / and does not end with one, such as /chat"
            )
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request or WebSocket."""
        path: str = scope.get("path", "")
        if path == self._prefix or path.startswith(f"{self._prefix}/"):
            scope = cast("Scope", {**scope, "root_path": self._prefix})
        await self._app(scope, receive, send)
