"""A receiver of decisions on loopback, on a thread of its own, for functions that run in other processes."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from chat_moderator.types import Record


class Posted(msgspec.Struct):
    type: str
    records: list[Record]


@dataclass
class Decisions:
    """What was posted, in order; the next `refuse` posts get a 503."""

    url: str = ""
    refuse: int = 0
    records: list[Record] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


@contextlib.contextmanager
def collecting() -> Iterator[Decisions]:
    decisions = Decisions()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if decisions.refuse:
                decisions.refuse -= 1
                self.send_response(503)
            else:
                decisions.ids.append(self.headers["webhook-id"])
                decisions.records += msgspec.json.decode(body, type=Posted).records
                self.send_response(204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    decisions.url = f"http://127.0.0.1:{server.server_port}/decisions"
    try:
        yield decisions
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
