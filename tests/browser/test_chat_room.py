"""Two people in the chat room."""

import json
import re
import time
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Route, WebSocketRoute, expect

from tests.browser.windows import Window
from tests.running import Running

UNKNOWN = "\N{EN DASH}"
INSULT = "nobody likes you, you pathetic idiot"
MakeWindow = Callable[..., Window]


def test_two_windows_chat_with_each_other(ada: Window, ben: Window) -> None:
    ada.say("good morning")
    expect(ben.texts).to_have_text(["good morning"])
    ben.say("hi Ada")
    for window in (ada, ben):
        expect(window.texts).to_have_text(["good morning", "hi Ada"])
        expect(window.log.locator(".by b")).to_have_text(["Ada", "Ben"])


def test_a_clean_message_appears_at_once(ada: Window, ben: Window) -> None:
    began = time.perf_counter()
    ada.say("good morning")
    expect(ben.texts).to_have_text(["good morning"])
    assert time.perf_counter() - began < 1.0
    expect(ada.status).to_have_text("Sent.")


def test_a_toxic_message_never_reaches_the_other_window_and_its_author_sees_why(ada: Window, ben: Window) -> None:
    blocked = ada.say(INSULT)
    expect(blocked).to_have_attribute("data-state", "blocked")
    expect(blocked).to_contain_text("Only you see it.")
    expect(blocked).to_contain_text(re.compile(r"Label: (insult|toxicity)"))
    expect(blocked).to_contain_text(re.compile(r"Rule: over the limit for (insult|toxicity)"))
    assert "idiot" in " ".join(blocked.locator("mark").all_inner_texts())
    expect(blocked.locator(".text")).to_have_text(INSULT)
    expect(ada.status).to_have_text(re.compile(r"Blocked: (insult|toxicity)\. Only you see your message\."))

    ada.say("good morning")
    expect(ben.texts).to_have_text(["good morning"])  # what was sent later is there: nothing is still on its way
    assert INSULT not in json.dumps(ben.heard)
    ben.page.reload()
    expect(ben.texts).to_have_text(["good morning"])
    assert INSULT not in json.dumps(ben.heard)


@pytest.mark.parametrize("room", ["held-for-review"])
def test_a_held_message_appears_for_all_once_a_moderator_approves_it(
    ada: Window, ben: Window, server: Running, room: str
) -> None:
    held = ada.say("may I say this?")
    expect(held).to_have_attribute("data-state", "held")
    expect(held).to_contain_text("Waiting for a moderator")
    expect(held).to_contain_text("Rule: rule “<b onclick=alert(1)>first look</b>”")
    expect(ada.status).to_contain_text("a moderator looks at your message first")
    expect(ben.items).to_have_count(0)

    headers = {"authorization": "Bearer any"}
    (review,) = httpx.get(f"{server.url}/v1/reviews", headers=headers).json()["reviews"]
    verdict = httpx.post(f"{server.url}/v1/reviews/{review['id']}", headers=headers, json={"verdict": "approve"})
    assert verdict.status_code == 200

    expect(ben.texts).to_have_text(["may I say this?"])
    expect(ada.texts).to_have_text(["may I say this?"])
    expect(held).to_have_attribute("data-state", "shown")
    expect(ada.status).to_have_text("A moderator let your message through.")


def test_the_live_strip_shows_rate_share_and_latency(ada: Window) -> None:
    ada.say("good morning")
    ada.say(INSULT)
    strip = ada.page.get_by_role("contentinfo")
    expect(strip).to_contain_text(re.compile(r"messages/s\s*[0-9.]*[1-9]"))
    expect(strip).to_contain_text(re.compile(r"blocked\s*[0-9.]+ %"))
    expect(strip).to_contain_text(re.compile(r"p50\s*[0-9.,]+ ms"))
    expect(strip).to_contain_text(re.compile(r"p99\s*[0-9.,]+ ms"))


def test_who_comes_later_sees_what_was_said(ada: Window, window: MakeWindow, server: Running, room: str) -> None:
    ada.say("good morning")
    ada.settled()
    expect(window().open(f"{server.url}/chat?room={room}").texts).to_have_text(["good morning"])


def test_rooms_are_apart(ada: Window, window: MakeWindow, server: Running) -> None:
    lobby = window().open(f"{server.url}/")
    expect(lobby.page.get_by_role("heading", level=1)).to_have_text("Chat room lobby")
    ada.say("good morning")
    ada.settled()
    expect(lobby.items).to_have_count(0)


@pytest.mark.parametrize(
    ("written", "room"),
    [
        ("#Caf%C3%A9 Corner", "caf-corner"),
        ("?room=<script>", "script"),
        ("#../..", "lobby"),
        (f"#{'a' * 99}", "a" * 40),
    ],
)
def test_every_address_leads_to_a_room(window: MakeWindow, server: Running, written: str, room: str) -> None:
    opened = window().open(f"{server.url}/chat{written}")
    expect(opened.page.get_by_role("heading", level=1)).to_have_text(f"Chat room {room}")


def test_the_name_is_remembered_and_two_windows_of_one_browser_may_have_two(ada: Window) -> None:
    second = ada.context.new_page()
    second.goto(ada.page.url)
    expect(second.get_by_label("Your name")).to_have_value("Ada")
    second.get_by_label("Your name").fill("Eve")
    second.get_by_label("Your name").press("Enter")
    ada.page.reload()
    expect(ada.name).to_have_value("Ada")
    second.reload()
    expect(second.get_by_label("Your name")).to_have_value("Eve")


def test_nobody_is_without_a_name(ada: Window, ben: Window) -> None:
    ada.name.fill("   ")
    ada.say("good morning")
    expect(ben.log.locator(".by b")).to_have_text(re.compile(r"Guest \w{4}"))


@pytest.mark.parametrize("room", ["open-lengths"])
def test_length_is_counted_in_characters_not_in_units_of_javascript(ada: Window, ben: Window, room: str) -> None:
    ada.text.fill("😄" * 2001)
    expect(ada.page.get_by_text("2,001 of 2,000 characters")).to_be_visible()
    ada.text.press("Enter")
    expect(ada.status).to_contain_text("at most 2,000 characters")
    expect(ada.items).to_have_count(0)
    ada.say("😄" * 2000)
    expect(ben.texts).to_have_text(["😄" * 2000])


def test_nothing_but_blanks_is_not_sent(ada: Window) -> None:
    ada.say(" \n\t ")
    expect(ada.items).to_have_count(0)


@pytest.mark.parametrize("room", ["open-scrolling"])
def test_a_reader_of_older_messages_is_not_moved_and_is_told_of_new_ones(ada: Window, ben: Window, room: str) -> None:
    ben.say("\n".join("abcdefghijklmnopqrstuvwxyz"))
    ben.say("\n".join("abcdefghijklmnopqrstuvwxyz"))
    expect(ada.items).to_have_count(2)
    expect(ada.items.last).to_be_in_viewport()
    ada.log.evaluate("log => log.scrollTop = 0")
    ben.say("something new")
    newer = ada.page.get_by_role("button", name="New messages below")
    expect(newer).to_be_visible()
    assert ada.log.evaluate("log => log.scrollTop") == 0
    newer.click()
    expect(ada.item("something new")).to_be_in_viewport()
    expect(newer).to_be_hidden()
    expect(ada.text).to_be_focused()


def test_what_the_server_refuses_can_be_sent_again(window: MakeWindow, server: Running, room: str) -> None:
    ada = window()
    refusals = ["Too many messages at once; wait a moment."]

    def refuse_once(server: WebSocketRoute, frame: str) -> None:
        if refusals:
            assert "good morning" in frame
            sent = json.loads(frame)
            pages[-1].send(json.dumps({"type": "error", "id": sent["id"], "reason": refusals.pop()}))
        else:
            server.send(frame)

    pages: list[WebSocketRoute] = []

    def pass_on(page: WebSocketRoute, frame: str) -> None:
        pages.append(page)
        page.send(frame)

    ada.between(refuse_once, pass_on)
    ada.open(f"{server.url}/chat#{room}", "Ada")
    expect(ada.page.locator("#rate")).not_to_have_text(UNKNOWN)
    failed = ada.say("good morning")
    expect(failed).to_contain_text("Not sent")
    expect(failed).to_contain_text("Too many messages at once")
    failed.get_by_role("button", name="Send again").click()
    expect(failed).to_have_attribute("data-state", "shown")
    expect(ada.texts).to_have_text(["good morning"])
    expect(ada.text).to_be_focused()


def test_the_page_works_behind_a_path_prefix(window: MakeWindow, server: Running) -> None:
    ada = window()
    prefix = f"{server.url}/community/moderation"

    def forward(route: Route) -> None:
        route.fulfill(response=route.fetch(url=route.request.url.replace(prefix, server.url)))

    sockets: list[str] = []
    ada.page.route(f"{prefix}/**", forward)
    ada.page.route_web_socket(lambda _: True, lambda socket: sockets.append(socket.url))
    ada.open(f"{prefix}/chat")
    assert all(address.startswith(prefix) for address in ada.addresses)
    assert len(ada.addresses) == 4
    assert re.fullmatch(prefix.replace("http", "ws") + r"/v1/chat/lobby\?author=\w+", sockets[0])
