"""Chromium, the real server, and windows of the chat room."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.windows import Window
from tests.running import Running, serving

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 30_000
"""Milliseconds for what a person would see at once, on a machine that is busy otherwise."""

SETTINGS = """
[[policy.rules]]
name = "anything goes"
when = 'message.channel.startsWith("open-")'
verdict = "allow"

[[policy.rules]]
name = "<b onclick=alert(1)>first look</b>"
when = 'message.channel.startsWith("held-")'
verdict = "hold"
"""
"""Rooms by the beginning of their names, where a test must not depend on how the model judges its texts."""


# Not of the session: while Playwright's synchronous interface is open, no other test may run a loop of its own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium with a new, empty profile."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(f"none of {', '.join(BROWSERS)} is installed: sudo apt-get install chromium", pytrace=False)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the server reads."""
    path = tmp_path_factory.mktemp("settings") / "moderator.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, settings: Path) -> Iterator[Running]:
    """The moderator, shared; each test has a room of its own."""
    with serving(tmp_path_factory.mktemp("data"), "--config", str(settings)) as running:
        yield running


@pytest.fixture
def room() -> str:
    """A room that nobody was in."""
    return uuid.uuid4().hex


@pytest.fixture
def window(browser: Browser) -> Iterator[Callable[..., Window]]:
    """Makes windows; takes what `Window` takes after the browser."""
    made: list[Window] = []

    def make(*arguments: Any, **options: Any) -> Window:
        made.append(Window(browser, *arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.context.close()


@pytest.fixture
def ada(window: Callable[..., Window], server: Running, room: str) -> Window:
    """Somebody in the room."""
    return window().open(f"{server.url}/chat#{room}", "Ada")


@pytest.fixture
def ben(window: Callable[..., Window], server: Running, room: str) -> Window:
    """Somebody else in the room, with a browser of their own."""
    return window().open(f"{server.url}/chat#{room}", "Ben")
