"""A window of the chat room in a real browser, as its reader sees it and as its keyboard reaches it."""

import json
from collections.abc import Callable
from typing import Any, Self

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Locator, WebSocket, WebSocketRoute, expect

SIZE = (900, 700)


class Window:
    """One person's browser with the page open.

    Attributes:
        errors: errors on the console, among them violations of the content security policy, and uncaught exceptions.
        addresses: of everything the page asked for, WebSockets included.
        heard: the frames that came from the server.
    """

    def __init__(
        self, browser: Browser, size: tuple[int, int] = SIZE, *, scheme: Any = "light", scale: float = 1
    ) -> None:
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            device_scale_factor=scale,
            color_scheme=scheme,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
        )
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.addresses: list[str] = []
        self.heard: list[dict[str, Any]] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.page.on("websocket", self._socket)
        self.context.on("request", lambda request: self.addresses.append(request.url))
        self.log = self.page.get_by_role("log")
        self.items = self.log.get_by_role("listitem")
        self.texts = self.log.locator(".text")
        self.text = self.page.get_by_role("textbox", name="Message", exact=True)
        self.name = self.page.get_by_role("textbox", name="Your name")
        self.status = self.page.locator("#status")
        self.connection = self.page.locator("#connection")

    def open(self, address: str, name: str = "") -> Self:
        """Goes there, waits for the connection and takes a name."""
        self.page.goto(address)
        expect(self.connection).to_have_text("Connected")
        if name:
            self.name.fill(name)
            self.name.press("Enter")
        return self

    def say(self, text: str) -> Locator:
        """Writes and sends a message; what it became in this window."""
        self.text.fill(text)
        self.text.press("Enter")
        return self.items.last

    def item(self, text: str) -> Locator:
        """The messages whose text this is."""
        return self.items.filter(has=self.page.get_by_text(text, exact=True))

    def settled(self) -> None:
        """Waits until the server has answered everything."""
        expect(self.log.locator("[data-state=sending]")).to_have_count(0)

    def between(
        self, on_post: Callable[[WebSocketRoute, str], None], on_frame: Callable[[WebSocketRoute, str], None]
    ) -> None:
        """Puts somebody in the middle of the connection: frames pass only as these two pass them on."""

        def connected(page: WebSocketRoute) -> None:
            server = page.connect_to_server()
            page.on_message(lambda frame: on_post(server, str(frame)))
            server.on_message(lambda frame: on_frame(page, str(frame)))

        self.page.route_web_socket(lambda _: True, connected)

    def _dialog(self, dialog: Dialog) -> None:
        self.errors.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)

    def _socket(self, socket: WebSocket) -> None:
        self.addresses.append(socket.url)
        socket.on("framereceived", lambda frame: self.heard.append(json.loads(frame)))
