"""Lambda's Runtime API on loopback, and a function run by AWS's own runtime interface client against it."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

VERSION = "/2018-06-01/runtime"
PATIENCE = 30.0


class Runtime:
    """Hands events to the client one by one and gives back what it answers."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def invoke(self, event: Any) -> Any:
        """The function's answer.

        Raises:
            AssertionError: it failed; with what it said.
        """
        self._events.put(event)
        kind, answer = self._answers.get(timeout=PATIENCE)
        assert kind == "response", answer
        return answer

    def fail(self, event: Any) -> Any:
        """The error that the function reports."""
        self._events.put(event)
        kind, answer = self._answers.get(timeout=PATIENCE)
        assert kind == "error", answer
        return answer

    def next(self) -> Any:
        return self._events.get()

    def answered(self, kind: str, answer: Any) -> None:
        self._answers.put((kind, answer))


@contextlib.contextmanager
def running(folder: Path, environment: dict[str, str]) -> Iterator[Runtime]:
    """Runs `app.handler` of a folder as Lambda does."""
    runtime = Runtime()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            assert self.path == f"{VERSION}/invocation/next"
            body = json.dumps(runtime.next()).encode()
            self.send_response(200)
            headers = {
                "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
                "Lambda-Runtime-Deadline-Ms": str(int(1000 * (time.time() + PATIENCE))),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:000000000000:function:moderator",
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
            }
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])) or "null")
            runtime.answered(self.path.rpartition("/")[2], body)
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    own = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}", "AWS_LAMBDA_FUNCTION_NAME": "moderator"}
    with (folder / "function.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", "app.handler"],
            cwd=folder, env=os.environ | own | environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield runtime
    finally:
        process.kill()
        process.wait()
        server.shutdown()
        server.server_close()
        thread.join()
