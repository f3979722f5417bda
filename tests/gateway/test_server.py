import socket
from pathlib import Path

import pytest

from chat_moderator.app import App
from chat_moderator.config import CascadeSettings, Settings
from chat_moderator.errors import ConfigError
from chat_moderator.gateway.server import bind, serve


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    app = App(Settings(cascade=CascadeSettings(("lexicon",), ())), tmp_path)
    try:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ConfigError, match=f"server.port: {port} is taken"):
                serve(app, "127.0.0.1", port)
        assert app._tasks == []
    finally:
        app.database.close()


@pytest.mark.parametrize(
    ("host", "port", "path"),
    [
        ("no.such.host.invalid", 8080, "server.host"),
        ("203.0.113.7", 0, "server.host"),
        ("127.0.0.1", 70_000, "server.port"),
        ("127.0.0.1", -1, "server.port"),
        ("\u00e9" * 300, 8080, "server.host"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_named(host: str, port: int, path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        bind(host, port)
    assert refused.value.path == path


def test_without_any_key_another_address_is_refused(tmp_path: Path) -> None:
    app = App(Settings(cascade=CascadeSettings(("lexicon",), ())), tmp_path)
    try:
        with pytest.raises(ConfigError, match="chat-moderator keys create"):
            serve(app, "0.0.0.0", 0)  # noqa: S104 -- to be refused
        assert app._tasks == []
    finally:
        app.database.close()
