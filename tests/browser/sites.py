"""Somebody else's site, on an origin of its own: pages that embed the chat or use the client, and tickets for them."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Site:
    """Serves `pages` by path; `POST /ticket` asks the moderator for one, as the site's server would."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"
        self.pages: dict[str, tuple[str, str]] = {}
        self.moderator = ""
        self.key = ""
        self.author: dict[str, Any] = {"id": "u-17", "name": "Robin"}
        self.tickets = 0

    def page(self, path: str, html: str, policy: str) -> str:
        """Puts a page there, with its content security policy; its address."""
        self.pages[path] = (f"<!doctype html><html lang=en><title>A site</title>{html}", policy)
        return f"{self.origin}{path}"

    def ticket(self) -> bytes:
        self.tickets += 1
        request = urllib.request.Request(  # noqa: S310 -- a server on loopback
            f"{self.moderator}/v1/tickets",
            data=json.dumps({"author": self.author}).encode(),
            headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return bytes(answer.read())


@contextlib.contextmanager
def site_on(port: int) -> Iterator[Site]:
    site = Site(port)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            html, policy = site.pages.get(self.path, ("", "default-src 'none'"))
            self._answer(html.encode(), "text/html; charset=utf-8", policy)

        def do_POST(self) -> None:
            self._answer(site.ticket(), "application/json", "default-src 'none'")

        def _answer(self, body: bytes, media: str, policy: str) -> None:
            self.send_response(200 if body else 404)
            self.send_header("content-type", media)
            self.send_header("content-length", str(len(body)))
            self.send_header("content-security-policy", policy)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name is the library's
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
