"""The chat room without a mouse, without sight, on a phone, and by night."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.windows import Window
from tests.running import Running

MakeWindow = Callable[..., Window]
INSULT = "nobody likes you, you pathetic idiot"

CONTRASTS = """
() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue]
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = channels(getComputedStyle(each).backgroundColor);
      if (colour.length === 3) return colour;
      if (colour[3] !== 0) throw new Error("a half transparent background");
    }
    throw new Error("nothing behind");
  };
  const found = {};
  const note = (what, element, value) => {
    const state = element.closest("li")?.dataset.state ?? "";
    const name = `${what} ${element.tagName}#${element.id}.${element.className} ${state}`;
    found[name] = Math.min(found[name] ?? 21, value);
  };
  for (const element of document.querySelectorAll("body *")) {
    const style = getComputedStyle(element);
    if (!element.checkVisibility() || element.closest(".unseen")) continue;
    if (style.opacity !== "1") throw new Error("half transparent");
    const writes = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const field = element.matches("input, textarea");
    if (writes || field) note("text", element, ratio(channels(style.color), behind(element)));
    if (!field) continue;
    note("placeholder", element, ratio(channels(getComputedStyle(element, "::placeholder").color), behind(element)));
    note("border", element, ratio(channels(style.borderTopColor), behind(element.parentElement)));
  }
  return found;
}
"""
"""WCAG 2.2 contrast ratios (1.4.3, 1.4.11) of all that is visible, the lowest of each kind of element."""


def everything(window: Window) -> Window:
    """Brings messages of every state, and authors of every colour, into the window."""
    for name in "ABCDEF":
        window.name.fill(name)
        window.say("good\u202e morning")
    window.say(INSULT)
    window.settled()
    window.page.evaluate(
        """() => {
          const [shown, held, failed, sending] = document.querySelectorAll("#messages > li");
          held.entry.become("held", ["why", document.createElement("button")]);
          failed.entry.become("failed", ["why"]);
          sending.entry.become("sending");
        }"""
    )
    return window


@pytest.mark.parametrize("room", ["lobby-of-colours"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_keep_their_contrast_by_day_and_by_night(
    window: MakeWindow, server: Running, room: str, scheme: str
) -> None:
    ada = everything(window(scheme=scheme).open(f"{server.url}/chat#{room}"))
    hues = ada.items.evaluate_all("all => new Set(all.map((one) => one.dataset.hue)).size")
    assert hues == 6
    ratios = ada.page.evaluate(CONTRASTS)
    assert {key.rpartition(" ")[2] for key in ratios} == {"", "shown", "held", "blocked", "failed", "sending"}
    poor = {key: value for key, value in ratios.items() if value < (3 if key.startswith("border") else 4.5)}
    assert poor == {}
    assert len(ratios) > 20
    page = ada.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, page[4:-1].split(","))) > 382) == (scheme == "light")


def test_everything_can_be_done_by_keyboard(ada: Window, ben: Window) -> None:
    press = ada.page.keyboard.press
    expect(ada.text).to_be_focused()
    press("Shift+Tab")
    expect(ada.log).to_be_focused()
    press("Shift+Tab")
    expect(ada.name).to_be_focused()
    ada.page.keyboard.type("Ada Lovelace")
    press("Enter")
    expect(ada.text).to_be_focused()
    ada.page.keyboard.type("good")
    press("Shift+Enter")
    ada.page.keyboard.type("morning")
    press("Enter")
    expect(ben.texts).to_have_text(["good\nmorning"])
    expect(ben.log.locator(".by b")).to_have_text(["Ada Lovelace"])
    expect(ada.text).to_be_focused()
    expect(ada.text).to_have_value("")
    ada.page.keyboard.type("hello")
    press("Tab")
    expect(ada.page.get_by_role("button", name="Send")).to_be_focused()
    press("Space")
    expect(ben.texts).to_have_text(["good\nmorning", "hello"])
    expect(ada.text).to_be_focused()


def test_enter_that_ends_a_word_of_an_input_method_does_not_send(ada: Window) -> None:
    ada.text.fill("にほん")
    ada.text.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    expect(ada.text).to_have_value("にほん")
    expect(ada.items).to_have_count(0)


def test_focus_is_always_visible(ada: Window) -> None:
    for place in (ada.name, ada.log, ada.text, ada.page.get_by_role("button", name="Send")):
        place.focus()
        ada.page.keyboard.press("Shift")
        assert place.evaluate("place => getComputedStyle(place).outlineStyle") == "solid"
        assert place.evaluate("place => parseFloat(getComputedStyle(place).outlineWidth)") >= 2


def test_a_screen_reader_finds_landmarks_names_and_live_regions(ada: Window) -> None:
    expect(ada.page.locator("html")).to_have_attribute("lang", "en")
    expect(ada.page).to_have_title(f"{ada.page.url.partition('#')[2]} \N{EN DASH} chat room")
    for role in ("banner", "main", "contentinfo", "log"):
        expect(ada.page.get_by_role(role)).to_have_count(1)
    expect(ada.page.get_by_role("form", name="Write a message")).to_have_count(1)
    expect(ada.log).to_have_attribute("aria-live", "polite")
    expect(ada.log).to_have_accessible_name("Messages")
    expect(ada.connection).to_have_role("status")
    expect(ada.status).to_have_role("status")
    expect(ada.text).to_have_accessible_description("Enter sends, Shift+Enter starts a new line")
    ada.say("good morning")
    for control in ada.page.locator("input, textarea, button:visible").all():
        expect(control).to_have_accessible_name(re.compile(r"\w"))
    assert [level.evaluate("one => one.tagName") for level in ada.page.get_by_role("heading").all()] == ["H1", "H2"]
    expect(ada.log.get_by_role("list")).to_have_count(1)


def test_what_somebody_else_writes_is_announced_once_and_what_one_writes_only_by_its_verdict(
    ada: Window, ben: Window
) -> None:
    ada.say("good morning")
    expect(ben.items).to_have_count(1)
    assert ada.items.first.get_attribute("aria-live") == "off"
    assert ben.items.first.get_attribute("aria-live") is None
    expect(ada.status).to_have_text("Sent.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_moves_for_who_prefers_that(window: MakeWindow, server: Running, room: str, scheme: str) -> None:
    ada = window(scheme=scheme).open(f"{server.url}/chat#{room}")
    expect(ada.say("good morning")).to_be_visible()
    assert ada.page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize("room", ["open-phone"])
@pytest.mark.parametrize("size", [(320, 568), (390, 844), (568, 320)])
def test_a_phone_shows_everything_without_scrolling_sideways(
    window: MakeWindow, server: Running, room: str, size: tuple[int, int]
) -> None:
    ada = window(size).open(f"{server.url}/chat#{room}")
    ada.name.fill("W" * 40)
    ada.say("W" * 200)
    ada.say("https://example.org/" + "a-very-long-path/" * 20)
    everything(ada)
    ada.text.fill("W" * 2001)
    inside: dict[str, Any] = ada.page.evaluate(
        """() => ({
          page: document.documentElement.scrollWidth,
          log: document.getElementById("log").scrollWidth - document.getElementById("log").clientWidth,
          wide: [...document.querySelectorAll("body *:not(.unseen)")]
            .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth)
            .map((one) => one.outerHTML.slice(0, 80)),
        })"""
    )
    assert inside == {"page": size[0], "log": 0, "wide": []}
    for control in (ada.name, ada.text, ada.page.get_by_role("button", name="Send")):
        expect(control).to_be_in_viewport(ratio=1)
        box = control.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24
    expect(ada.page.get_by_role("contentinfo")).to_be_in_viewport(ratio=1)
