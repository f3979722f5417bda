"""The server: one port, stopped cleanly by SIGTERM and SIGINT."""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Generator
from typing import Final

import uvicorn
import uvloop
from litestar import Litestar

from chat_moderator.app import App
from chat_moderator.errors import ConfigError
from chat_moderator.gateway import limits
from chat_moderator.gateway.auth import is_loopback
from chat_moderator.gateway.gateway import create_gateway
from chat_moderator.gateway.prefix import Prefixed
from chat_moderator.gateway.services import Services
from chat_moderator.store.keys import AnyKey

BACKLOG: Final = 2048
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
GRACE: Final = 3
"""Seconds that requests under way may take once the server stops."""


class Server(uvicorn.Server):
    """One gateway on one listening socket; whoever waits for something is let go when it stops."""

    def __init__(self, gateway: Litestar, *, ready: Callable[[], None] = lambda: None) -> None:
        self.services: Services = gateway.state.services
        prefix = self.services.app.settings.server.prefix
        super().__init__(
            uvicorn.Config(
                Prefixed(gateway, prefix) if prefix else gateway,
                http="httptools",
                ws="websockets-sansio",
                lifespan="off",
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                proxy_headers=False,  # the gate decides whom to trust
                server_header=False,
                ws_max_size=limits.FRAME,
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to answer."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops accepting and lets what is under way end."""
        self.services.drain()
        await super().shutdown(sockets)
        await self.services.usage.aclose()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Ends cleanly on a signal, without dying of it afterwards; a second one does not wait for requests."""
        loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in SIGNALS:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def serve(app: App, host: str, port: int, *, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what was begun.

    Args:
        app: not started yet.
        host: an address or name of this machine.
        port: 0 for any that is free.
        ready: told the address once messages are taken in.

    Raises:
        ConfigError: the port is taken, the host is none of this machine's, or it is not loopback and there is no key;
            nothing was started.
    """
    with contextlib.closing(bind(host, port)) as listener:
        require_key(app, listener)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(app, listener, ready))


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; whoever connects before the server runs is answered once it does.

    Raises:
        ConfigError: the port is taken, or the host is none of this machine's.
    """
    if not 0 <= port <= 65_535:  # noqa: PLR2004 -- 16 bits; the resolver would wrap around
        raise ConfigError("server.port", f"{port} is no port; allowed are 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as problem:
        raise ConfigError("server.host", f"{host!r} is no address of this machine") from problem
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as problem:
        listener.close()
        raise _unusable(host, port, problem) from problem
    return listener


def require_key(app: App, listener: socket.socket) -> None:
    """Refuses to be reached from elsewhere without any key.

    Raises:
        ConfigError: the socket is not on loopback and there is no key.
    """
    host = listener.getsockname()[0]
    if not is_loopback(host) and not app.database.ask_now(AnyKey()):
        raise ConfigError(
            "server.host",
            f"{host} can be reached from elsewhere and there is no key: make one with chat-moderator keys create, "
            "or listen on 127.0.0.1",
        )


async def _serve(app: App, listener: socket.socket, ready: Callable[[str], None]) -> None:
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    server = Server(create_gateway(app), ready=lambda: ready(address))
    await app.start()
    try:
        await server.serve(sockets=[listener])
    finally:
        await app.stop()


def _unusable(host: str, port: int, problem: OSError) -> ConfigError:
    match problem.errno:
        case errno.EADDRINUSE:
            return ConfigError("server.port", f"{port} is taken by another program; choose another with --port")
        case errno.EACCES:
            return ConfigError("server.port", f"{port} needs privileges; choose one from 1024 on with --port")
        case _:
            return ConfigError("server.host", f"{host!r} is no address of this machine")
