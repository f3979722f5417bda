"""The picture of the chat room in the documentation, drawn by the chat room itself."""

import base64
import os
import struct
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.windows import Window
from tests.running import Running, serving

PICTURE = Path(__file__).parents[2] / "docs" / "assets" / "chat.png"
WINDOW = (480, 620)
SIZE = (1024, 692)
SCALE = 2
INSULT = "You pathetic idiot, nobody wants you here"

SIDE_BY_SIDE = """
<style>
  body {{ margin: 0; padding: 16px 20px; display: flex; gap: 24px; background: #dfe4ea; font: 600 15px system-ui; }}
  figure {{ margin: 0; }} figcaption {{ padding: 4px 6px 12px; color: #17202b; }}
  img {{ display: block; width: 480px; border-radius: 12px; box-shadow: 0 2px 12px #0003; }}
</style>
<figure><figcaption>Ada's window</figcaption><img src="data:image/png;base64,{ada}"></figure>
<figure><figcaption>Ben's window</figcaption><img src="data:image/png;base64,{ben}"></figure>
"""


def test_the_picture_shows_two_windows_of_which_one_has_a_blocked_message(
    browser: Browser, window: Callable[..., Window], tmp_path: Path
) -> None:
    """Drawn anew where it is missing, or where UPDATE_SCREENSHOTS is set."""
    if os.environ.get("UPDATE_SCREENSHOTS") or not PICTURE.exists():
        with serving(tmp_path) as server:
            draw(browser, window, server)
    header = PICTURE.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:]) == (SIZE[0] * SCALE, SIZE[1] * SCALE)


def draw(browser: Browser, window: Callable[..., Window], server: Running) -> None:
    room = "friday-raid"
    ada, ben = (window(WINDOW, scale=SCALE).open(f"{server.url}/chat#{room}", name) for name in ("Ada", "Ben"))
    said = [
        (ada, "Good morning! Who is in for a quick match before lunch?"),
        (ben, "Me! Give me five minutes."),
        (ada, INSULT),
        (ada, "Okay, that was rude. Good luck, have fun!"),
        (ben, "Good game, well played! 😄"),
    ]
    for who, text in said:
        expect(who.say(text)).to_have_attribute("data-state", "blocked" if text == INSULT else "shown")
    for each in (ada, ben):
        expect(each.texts.last).to_have_text(said[-1][1])
        expect(each.page.locator("#blocked")).to_have_text("20 %")
    pictures = {who.name.input_value().lower(): base64.b64encode(who.page.screenshot()).decode() for who in (ada, ben)}
    both = browser.new_context(viewport={"width": SIZE[0], "height": SIZE[1]}, device_scale_factor=SCALE).new_page()
    both.set_content(SIDE_BY_SIDE.format(**pictures))
    PICTURE.parent.mkdir(exist_ok=True)
    both.screenshot(path=PICTURE)
    both.context.close()
