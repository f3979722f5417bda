"""In a page of another site: the widget, and the JavaScript client with tickets."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FrameLocator, expect

from chat_moderator.store.database import Database
from chat_moderator.store.keys import CreateKey, NewKey
from chat_moderator.types import Role
from tests.browser.conftest import SETTINGS
from tests.browser.sites import Site, site_on
from tests.browser.windows import Window
from tests.running import Running, free_port, serving

MakeWindow = Callable[..., Window]
PATIENCE = 120_000
"""Milliseconds for what a moderator's start, or a client's next try to connect, comes before."""

INSULT = "nobody likes you, you pathetic idiot"


def key_in(directory: Path) -> NewKey:
    """The first key of a moderator that does not run yet."""
    database = Database(directory)
    try:
        key = CreateKey(name="site", role=Role.CLIENT)
        return run(database, key)
    finally:
        database.close()


def run(database: Database, command: CreateKey) -> NewKey:
    import asyncio  # noqa: PLC0415 -- no loop may run where Playwright's is open
    import threading  # noqa: PLC0415

    made: list[NewKey] = []
    thread = threading.Thread(target=lambda: made.append(asyncio.run(database.execute(command))))
    thread.start()
    thread.join()
    return made[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that the moderator's settings name, and its moderator."""
    directory = tmp_path_factory.mktemp("data")
    with site_on(free_port()) as site:
        site.key = key_in(directory).token
        config = directory / "moderator.toml"
        config.write_text(f'[server]\norigins = ["{site.origin}"]\n{SETTINGS}')
        with serving(directory, "--config", str(config)) as running:
            site.moderator = running.url
            yield site


def embedded(site: Site, room: str, attributes: str = "") -> str:
    policy = f"default-src 'none'; script-src {site.moderator}; frame-src {site.moderator}; connect-src 'self'"
    line = f'<script src="{site.moderator}/widget.js" data-channel="{room}" {attributes}></script>'
    return site.page(f"/{room}{len(attributes)}", f"<h1>A site</h1>{line}<a href='#'>further</a>", policy)


def frame_of(window: Window) -> FrameLocator:
    return window.page.frame_locator("iframe.chat-moderator")


def say(frame: FrameLocator, text: str) -> None:
    frame.get_by_role("textbox", name="Message", exact=True).fill(text)
    frame.get_by_role("textbox", name="Message", exact=True).press("Enter")


@pytest.mark.parametrize("room", ["open-embedded"])
def test_one_line_puts_the_moderated_room_into_a_page_with_a_strict_policy(
    window: MakeWindow, site: Site, room: str
) -> None:
    ada, ben = window(), window().open(f"{site.moderator}/chat#{room}", "Ben")
    ada.page.goto(embedded(site, room))
    frame = frame_of(ada)
    expect(frame.locator("#connection")).to_have_text("Connected")
    say(frame, "good morning")
    expect(ben.texts).to_have_text(["good morning"])
    ben.say("and to you")
    expect(frame.locator(".text")).to_have_text(["good morning", "and to you"])
    assert ada.errors == []


def test_what_is_blocked_in_the_page_is_seen_by_its_author_only(window: MakeWindow, site: Site, room: str) -> None:
    ada, ben = window(), window().open(f"{site.moderator}/chat#{room}", "Ben")
    ada.page.goto(embedded(site, room))
    say(frame_of(ada), INSULT)
    expect(frame_of(ada).locator("[data-state=blocked]")).to_contain_text("Only you see it.")
    say(frame_of(ada), "good morning")
    expect(ben.texts).to_have_text(["good morning"])


def test_with_tickets_the_site_says_who_writes(window: MakeWindow, site: Site, room: str) -> None:
    before = site.tickets
    ada, ben = window(), window().open(f"{site.moderator}/chat#{room}", "Ben")
    ada.page.goto(embedded(site, room, 'data-tickets="/ticket" data-title="Chat of our guild"'))
    frame = frame_of(ada)
    expect(frame.locator("#connection")).to_have_text("Connected")
    name = frame.get_by_role("textbox", name="Your name")
    expect(name).to_have_value("Robin")
    expect(name).not_to_be_editable()
    say(frame, "good morning")
    expect(ben.log.locator(".by b")).to_have_text(["Robin"])
    assert site.tickets > before
    assert ada.errors == []
    secrets = [site.key, "cmt_"]
    assert not any(secret in ada.page.content() + address for secret in secrets for address in ada.addresses)


def test_the_frame_has_a_name_and_is_reached_and_left_by_keyboard(window: MakeWindow, site: Site, room: str) -> None:
    ada = window()
    ada.page.goto(embedded(site, room))
    frame = frame_of(ada)
    expect(frame.locator("#connection")).to_have_text("Connected")
    assert ada.page.locator("iframe").get_attribute("title") == f"Chat room {room}"
    assert ada.page.evaluate("document.activeElement === document.body")  # it takes nobody's focus away
    press = ada.page.keyboard.press
    press("Tab")
    expect(frame.get_by_role("textbox", name="Your name")).to_be_focused()
    press("Tab")
    expect(frame.get_by_role("log", name="Messages")).to_be_focused()
    press("Tab")
    ada.page.keyboard.type("good morning")
    press("Enter")
    expect(frame.locator(".text")).to_have_text(["good morning"])
    press("Tab")
    expect(frame.get_by_role("button", name="Send")).to_be_focused()
    press("Tab")
    expect(ada.page.get_by_role("link", name="further")).to_be_focused()


@pytest.mark.parametrize("room", ["open-names"])
def test_names_that_run_from_right_to_left_stay_in_their_place(window: MakeWindow, site: Site, room: str) -> None:
    ada = window()
    ada.page.goto(embedded(site, room))
    frame = frame_of(ada)
    expect(frame.locator("#connection")).to_have_text("Connected")
    for name in ("\u202enibor", "ليلى"):
        frame.get_by_role("textbox", name="Your name").fill(name)
        say(frame, "good morning")
    names = frame.locator(".by b")
    expect(names).to_have_text(["⟦U+202E⟧nibor", "ليلى"])
    assert [names.nth(at).evaluate("one => getComputedStyle(one).direction") for at in (0, 1)] == ["ltr", "rtl"]
    assert names.nth(1).evaluate("one => getComputedStyle(one.closest('li')).direction") == "ltr"


def test_a_site_that_the_settings_do_not_name_cannot_frame_the_room(window: MakeWindow, site: Site, room: str) -> None:
    with site_on(free_port()) as stranger:
        stranger.moderator = site.moderator
        ada = window()
        ada.page.goto(embedded(stranger, room))
        frame = ada.page.locator("iframe.chat-moderator")
        expect(frame).to_be_attached()
        expect(frame_of(ada).locator("#connection")).to_have_count(0)
        ada.page.wait_for_function("() => true")
        assert re.search("frame-ancestors|refused|violates", " ".join(ada.errors))


CLIENT = """
async ([moderator, tickets]) => {
  const { connect } = await import(`${moderator}/client.js`);
  window.heard = [];
  window.client = connect(moderator, {
    token: async () => (await (await fetch("/ticket", { method: "POST" })).json()).ticket,
    deadline: 60_000,
    onDecision: ({ id, action, client }) => heard.push([id, action, client.split("/")[1]]),
  });
  const answers = await Promise.all(["good game", tickets].map((text, at) => client.moderate({ id: `${at}`, text })));
  client.send({ id: "shown", text: tickets });
  return answers.map(({ action }) => action);
}
"""


def test_a_page_asks_before_it_shows_and_retracts_what_was_shown_without_holding_a_key(
    window: MakeWindow, site: Site
) -> None:
    ada = window()
    connected = f"{site.moderator} {site.moderator.replace('http', 'ws')}"
    policy = f"default-src 'none'; script-src {site.moderator} 'unsafe-eval'; connect-src 'self' {connected}"
    ada.page.goto(site.page("/client", "<h1>A site</h1>", policy))
    assert ada.page.evaluate(CLIENT, [site.moderator, INSULT]) == ["allow", "block"]
    ada.page.wait_for_function("() => heard.length === 3", timeout=PATIENCE)
    assert ada.page.evaluate("heard")[2] == ["shown", "block", "u-17"]
    ada.page.evaluate("client.close()")


def test_a_page_goes_on_when_its_moderator_is_restarted(window: MakeWindow, tmp_path: Path) -> None:
    with site_on(free_port()) as own:
        own.key = key_in(tmp_path).token
        config = tmp_path / "moderator.toml"
        config.write_text(f'[server]\norigins = ["{own.origin}"]\n{SETTINGS}')
        running = Running(tmp_path, free_port(), "--config", str(config))
        try:
            running.wait_until_ready()
            own.moderator = running.url
            ada = window()
            ada.page.goto(own.page("/client", "<h1>A site</h1>", "script-src * 'unsafe-eval'"))
            ada.page.evaluate(CLIENT, [own.moderator, INSULT])
            ada.page.wait_for_function("() => heard.length === 3", timeout=PATIENCE)
            running.kill()
            for number in range(5):
                ada.page.evaluate("id => client.send({ id, text: 'good game' })", f"while down {number}")
            running = Running(tmp_path, running.port, "--config", str(config))
            running.wait_until_ready()
            ada.page.wait_for_function("() => heard.length >= 8", timeout=PATIENCE)
            assert [each[0] for each in ada.page.evaluate("heard")[3:]] == [f"while down {at}" for at in range(5)]
            ada.page.evaluate("client.close()")
        finally:
            running.stop()
