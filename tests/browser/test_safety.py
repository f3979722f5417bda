"""Whatever anybody writes stays text, and the page talks to nobody but its server."""

import json
import re
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect
from websockets.sync.client import connect

from tests.browser.windows import Window
from tests.running import Running

MakeWindow = Callable[..., Window]

PAYLOADS = (
    "<script>ran=1</script>",
    "<script src=//example.org/x.js></script>",
    "<ScRiPt>ran=1</sCrIpT>",
    "<script/x>ran=1</script>",
    "</script><script>ran=1</script>",
    "<<script>ran=1//<</script>",
    "<scr<script>ipt>ran=1</scr</script>ipt>",
    "<img src=x onerror=ran=1>",
    '<img src="x" onerror="ran=1">',
    "<img src=x onerror='ran=1'>",
    "<img/src=x/onerror=ran=1>",
    "<img src=x onerror=ran=1//",
    "<img src=//example.org/pixel.png>",
    "<img srcset=//example.org/p.png>",
    '"><img src=x onerror=ran=1>',
    "'><img src=x onerror=ran=1>",
    "<svg onload=ran=1>",
    "<svg/onload=ran=1>",
    "<svg><script>ran=1</script></svg>",
    "<svg><animate onbegin=ran=1 attributeName=x>",
    "<svg><set onbegin=ran=1 attributeName=x>",
    "<svg><a href=javascript:ran=1>x</a></svg>",
    "<svg><use href=data:image/svg+xml,x#x>",
    "<math href=javascript:ran=1>x</math>",
    "<body onload=ran=1>",
    "<body onpageshow=ran=1>",
    "<iframe src=javascript:ran=1>",
    "<iframe srcdoc='<script>ran=1</script>'>",
    "<iframe onload=ran=1>",
    "<object data=javascript:ran=1>",
    "<embed src=javascript:ran=1>",
    "<a href=javascript:ran=1>press</a>",
    "<a href='java\tscript:ran=1'>press</a>",
    "[press](javascript:ran=1)",
    "javascript:ran=1",
    "data:text/html,<script>ran=1</script>",
    "<form action=javascript:ran=1><button>x",
    "<button formaction=javascript:ran=1>x",
    "<input autofocus onfocus=ran=1>",
    "<select autofocus onfocus=ran=1>",
    "<textarea autofocus onfocus=ran=1>",
    "</textarea><script>ran=1</script>",
    "</title><script>ran=1</script>",
    "</style><script>ran=1</script>",
    "--><script>ran=1</script>",
    "]]><script>ran=1</script>",
    "<video src=x onerror=ran=1>",
    "<audio src onloadstart=ran=1>",
    "<details open ontoggle=ran=1>",
    "<marquee onstart=ran=1>",
    "<dialog open onclose=ran=1>",
    "<style>@import '//example.org/x'</style>",
    "<link rel=stylesheet href=//example.org>",
    "<meta http-equiv=refresh content=0;//a.b>",
    "<base href=//example.org>",
    "<template><script>ran=1</script>",
    "<noscript><p title='</noscript><script>'>",
    "<x onclick=ran=1 style=display:block>x",
    "<b style='position:fixed;inset:0'>x</b>",
    "&lt;script&gt;ran=1&lt;/script&gt;",
    "&#60;img src=x onerror=ran=1&#62;",
    "\\u003cscript\\u003eran=1",
    "%3Cscript%3Eran=1%3C/script%3E",
    "\ufeff<script>ran=1</script>",
    "\uff1cscript\uff1eran=1\uff1c/script\uff1e",
    "${ran=1}{{ran=1}}#{ran=1}<%=ran=1%>",
    "constructor.constructor('ran=1')()",
    '{"__proto__":{"ran":1}}',
    "__proto__",
)
DRAWN = {"B", "DIV", "LI", "MARK", "OL", "P", "SPAN", "TIME"}
"""The elements that a list of messages is made of."""

RAN = "() => 'ran' in window || 'ran' in {}"


def shown(text: str) -> str:
    """The text as the page shows it."""
    return text.replace("\ufeff", "⟦U+FEFF⟧")


@pytest.mark.parametrize("room", ["open-payloads"])
def test_markup_in_names_and_texts_is_shown_and_runs_nothing(
    ada: Window, window: MakeWindow, server: Running, room: str
) -> None:
    for start in range(0, len(PAYLOADS), 20):  # a connection may send so many at once
        with connect(f"ws://127.0.0.1:{server.port}/v1/chat/{room}") as stranger:
            for payload in PAYLOADS[start : start + 20]:
                frame = {"type": "post", "id": str(uuid.uuid4()), "name": payload[:40], "text": payload}
                stranger.send(json.dumps(frame))
                while (answer := json.loads(stranger.recv()))["type"] in {"history", "live", "message"}:
                    pass
                assert answer["type"] == "ack", answer
    expect(ada.texts).to_have_count(len(PAYLOADS))
    newcomer = window().open(f"{server.url}/chat#{room}")
    expect(newcomer.texts).to_have_count(50)
    for each, payloads in ((ada, PAYLOADS), (newcomer, PAYLOADS[-50:])):
        assert each.texts.evaluate_all("all => all.map((one) => one.textContent)") == list(map(shown, payloads))
        names = each.log.locator(".by b").evaluate_all("all => all.map((one) => one.textContent)")
        assert names == [shown(payload[:40].strip()) for payload in payloads]
        check_nothing_ran(each)


@pytest.mark.parametrize("room", ["held-payloads", "open-own-payloads"])
def test_markup_that_one_writes_oneself_is_shown_and_runs_nothing(ada: Window, room: str) -> None:
    for payload in PAYLOADS:
        ada.name.fill(payload[:40])
        ada.say(payload)
    texts = ada.texts.evaluate_all("all => all.map((one) => one.textContent)")
    assert texts == [shown(payload.strip("\ufeff")) for payload in PAYLOADS]  # trimmed, as blanks are
    check_nothing_ran(ada)


def check_nothing_ran(window: Window) -> None:
    assert set(window.log.locator("*").evaluate_all("all => all.map((one) => one.tagName)")) <= DRAWN
    assert not window.page.evaluate(RAN)
    assert window.errors == []
    assert {urlsplit(address).hostname for address in window.addresses} == {"127.0.0.1"}


CHARACTERS = (
    ("\u202eexe.nimda", "⟦U+202E⟧exe.nimda"),
    ("\u2067a\u2069", "⟦U+2067⟧a⟦U+2069⟧"),
    ("zero\u200bwidth", "zero⟦U+200B⟧width"),
    ("soft\u00adhyphen", "soft⟦U+00AD⟧hyphen"),
    ("a\u200db", "a⟦U+200D⟧b"),
    ("a\ufe0f", "a⟦U+FE0F⟧"),
    ("1\ufe0f", "1⟦U+FE0F⟧"),
    ("\u3164", "⟦U+3164⟧"),
    ("a\u2800b", "a⟦U+2800⟧b"),
    ("bell\x07 escape\x1b[31m", "bell⟦U+0007⟧ escape⟦U+001B⟧[31m"),
    ("tag\U000e0041", "tag⟦U+E0041⟧"),
    ("line\u2028end", "line⟦U+2028⟧end"),
    ("two\nlines and a\ttab", "two\nlines and a\ttab"),
    ("👩‍👩‍👧‍👦 ❤️ 👍🏽 1️⃣ 🏴‍☠️ 🏳️‍🌈", "👩‍👩‍👧‍👦 ❤️ 👍🏽 1️⃣ 🏴‍☠️ 🏳️‍🌈"),
    (
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ),
    ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
    ("क्\u200dष", "क्\u200dष"),
    ("葛\U000e0100", "葛\U000e0100"),
    ("שלום, مرحبا, नमस्ते, こんにちは", "שלום, مرحبا, नमस्ते, こんにちは"),
)
"""What is written, and what is read."""


@pytest.mark.parametrize("room", ["open-characters"])
def test_hidden_characters_are_shown_by_number_where_they_do_not_belong(ada: Window, ben: Window, room: str) -> None:
    for written, read in CHARACTERS:
        ada.name.fill(f"A{written}Z".replace("\n", " ")[:40])
        ada.say(f"<{written}>")
        for each in (ada, ben):
            expect(each.texts.last).to_have_js_property("textContent", f"<{read}>")
        assert ("⟦" in ben.log.locator(".by b").last.inner_text()) == ("⟦" in read), written


def test_texts_from_right_to_left_are_set_so_and_leave_their_surroundings_alone(ada: Window) -> None:
    ada.say("مرحبا بالجميع")
    ada.say("good morning")
    assert [text.evaluate("text => getComputedStyle(text).direction") for text in ada.texts.all()] == ["rtl", "ltr"]
    assert ada.items.first.evaluate("item => getComputedStyle(item).direction") == "ltr"


@pytest.mark.parametrize("room", ["open-accents"])
def test_accents_stacked_high_do_not_reach_into_other_messages(ada: Window, room: str) -> None:
    ada.say("quiet line")
    ada.say("z" + "\u0301" * 500)
    assert ada.items.last.evaluate("item => getComputedStyle(item).overflowY") == "clip"
    expect(ada.items).to_have_count(2)


@pytest.mark.parametrize("room", ["open-lines"])
def test_a_message_of_a_thousand_lines_does_not_push_the_others_away(ada: Window, room: str) -> None:
    ada.say("a\n" * 999 + "a")
    box = ada.items.last.bounding_box()
    assert box is not None
    assert box["height"] < 600


def test_no_request_leaves_the_server_and_the_security_policy_is_never_broken(
    window: MakeWindow, server: Running, room: str
) -> None:
    ada = window().open(f"{server.url}/", "Ada")
    ada.page.goto(f"{server.url}/chat#{room}")  # the same document: the page itself goes to the other room
    expect(ada.page.get_by_role("heading", level=1)).to_have_text(f"Chat room {room}")
    expect(ada.connection).to_have_text("Connected")
    for text in ("good morning", "nobody likes you, you pathetic idiot", "see https://example.org/cat.png 😄"):
        ada.say(text)
    ada.settled()
    expect(ada.page.locator("#rate")).not_to_have_text("\N{EN DASH}")
    assert ada.errors == []
    assert {urlsplit(address).netloc for address in ada.addresses} == {f"127.0.0.1:{server.port}"}
    policy = ada.page.request.get(f"{server.url}/chat").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    source = ada.page.request.get(f"{server.url}/chat").text()
    assert not re.search(r"<style|style=|<script(?! type=\"module\" src=)|\son\w+=", source)
