"""Cerebrium on loopback: the keys of a JSON body become keyword arguments of `run`, the answer is wrapped.

It wants a bearer token, takes the status from the answer's `status_code`, and can be told to misbehave.
"""

import contextlib
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "eyJ-test"
PATH = "/v4/p-1a2b3c/chat-moderator/run"

Answer = tuple[int, bytes, dict[str, str]]


@dataclass
class Platform:
    """`answers` are given first, one a request, as (status, body, headers); then `run` answers.

    Attributes:
        calls: the bodies that came with the right token.
        wrapped: whether `{"run_id", "run_time_ms", "result"}` is put around the answer.
    """

    run: Callable[..., dict[str, Any]]
    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    wrapped: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str, authorization: str, body: bytes) -> Answer:
        if path != PATH:
            return 404, b'{"detail":"Not Found"}', {}
        if authorization != f"Bearer {TOKEN}":
            return 401, b'{"message":"Unauthorized"}', {}
        with self.lock:
            self.calls.append(json.loads(body))
            if self.answers:
                return self.answers.pop(0)
        result = self.run(**json.loads(body))
        status = result.pop("status_code", 200)
        wrapped = {"run_id": str(uuid.uuid4()), "run_time_ms": 1.5, "result": result} if self.wrapped else result
        return status, json.dumps(wrapped).encode(), {}


@contextlib.contextmanager
def deployed(run: Callable[..., dict[str, Any]]) -> Iterator[Platform]:
    platform = Platform(run)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, content, headers = platform.answer(self.path, self.headers.get("authorization", ""), body)
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    platform.url = f"http://127.0.0.1:{server.server_port}{PATH}"
    try:
        yield platform
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
