"""What is written is kept until the server has answered, whatever becomes of the connection."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.browser.windows import Window
from tests.running import Running, serving

MakeWindow = Callable[..., Window]
PATIENCE = 30_000
"""Milliseconds: the longest back-off, and the start of a server on a busy machine."""


@pytest.fixture
def mortal(tmp_path: Path, settings: Path) -> Iterator[Running]:
    """A server of the test's own."""
    with serving(tmp_path, "--config", str(settings)) as running:
        yield running


def test_what_was_written_while_the_server_was_down_is_sent_once_when_it_is_back(
    window: MakeWindow, mortal: Running, settings: Path
) -> None:
    ada, ben = (window().open(f"{mortal.url}/chat#open-outage", name) for name in ("Ada", "Ben"))
    ada.say("before the outage")
    expect(ben.texts).to_have_text(["before the outage"])
    mortal.kill()
    for each in (ada, ben):
        expect(each.connection).to_contain_text("Not connected")
    written = [f"written during the outage, line {number}" for number in range(1, 24)]  # more than may be sent at once
    for line in written:
        ada.say(line)
    expect(ada.log.locator("[data-state=sending]")).to_have_count(len(written))
    expect(ada.items.last).to_contain_text("Sending…")

    again = Running(mortal.directory, mortal.port, "--config", str(settings))
    try:
        again.wait_until_ready()
        for each in (ada, ben):
            expect(each.connection).to_have_text("Connected", timeout=PATIENCE)
            expect(each.texts).to_have_text(["before the outage", *written], timeout=PATIENCE)
        ada.settled()
        ada.say("after the outage")
        for each in (ada, ben, window().open(f"{mortal.url}/chat#open-outage")):
            expect(each.texts).to_have_text(["before the outage", *written, "after the outage"])
    finally:
        again.stop()


@pytest.mark.parametrize("lost", ["post", "ack"])
@pytest.mark.parametrize("room", ["open-reload"])
def test_what_was_not_answered_is_sent_again_after_a_reload_and_shown_once(
    window: MakeWindow, server: Running, ben: Window, room: str, lost: str
) -> None:
    losing = True
    text = f"whose {lost} got lost"

    def on_post(server: WebSocketRoute, frame: str) -> None:
        if not (losing and lost == "post"):
            server.send(frame)

    def on_frame(page: WebSocketRoute, frame: str) -> None:
        if not (losing and json.loads(frame)["type"] == "ack"):
            page.send(frame)

    ada = window()
    ada.between(on_post, on_frame)
    ada.open(f"{server.url}/chat#{room}", "Ada")
    ada.say(text)
    if lost == "ack":
        expect(ben.item(text)).to_have_count(1)
    expect(ada.item(text)).to_have_count(1)
    expect(ada.item(text)).to_have_attribute("data-state", "sending")
    ada.page.reload()
    expect(ada.connection).to_have_text("Connected")
    expect(ada.item(text)).to_have_count(1)
    expect(ada.item(text)).to_have_attribute("data-state", "sending")

    losing = False
    ada.page.reload()
    ada.settled()
    ada.say("later")
    for each in (ada, ben):
        expect(each.item("later").last).to_be_visible()
        expect(each.item(text)).to_have_count(1)
    ada.page.reload()
    expect(ada.item(text)).to_have_count(1)
    expect(ada.item(text)).to_have_attribute("data-state", "shown")
    ada.settled()


def test_a_connection_that_has_gone_silent_is_replaced(window: MakeWindow, server: Running, room: str) -> None:
    connections: list[WebSocketRoute] = []
    ada = window()
    ada.page.clock.install()
    ada.page.route_web_socket(lambda _: True, lambda socket: connections.append(socket))  # noqa: PLW0108
    ada.open(f"{server.url}/chat#{room}")
    ada.page.clock.run_for(10_000)
    expect(ada.connection).to_contain_text("Not connected")
    ada.page.clock.run_for(500)
    expect(ada.connection).to_have_text("Connected")
    assert len(connections) == 2


COUNTING = """
window.tries = 0;
window.closes = 0;
const Given = WebSocket;
window.WebSocket = class extends Given {
  constructor(address) {
    super(address);
    tries += 1;
    this.addEventListener("close", () => (document.body.dataset.closes = ++closes));
  }
};
"""


def test_tries_to_connect_again_come_ever_more_slowly_and_not_all_at_one_time(
    window: MakeWindow, server: Running
) -> None:
    ada = window()
    ada.page.clock.install(time=0)
    ada.page.clock.pause_at(1000)  # or time would pass by itself as well
    ada.page.route_web_socket(lambda _: True, lambda socket: socket.close())
    ada.page.add_init_script(COUNTING)
    ada.page.goto(f"{server.url}/chat")
    for tries, longest in enumerate([500, 1000, 2000, 4000, 8000, 15_000, 15_000], start=1):
        expect(ada.page.locator("body")).to_have_attribute("data-closes", str(tries))
        ada.page.clock.run_for(longest // 2 - 1)
        assert ada.page.evaluate("tries") == tries
        ada.page.clock.run_for(longest // 2 + 1)
        assert ada.page.evaluate("tries") == tries + 1
