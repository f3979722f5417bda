"""An OpenAI-compatible server on loopback that writes down what it was asked and can be told to misbehave."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chat_moderator.types import LABELS

Asked = dict[str, Any]
Misbehaviour = Callable[[BaseHTTPRequestHandler, "ChatServer"], None]


@dataclass
class ChatServer:
    """`say` answers a request's body; `misbehave` goes before it, one for each request, the last for ever after."""

    url: str = ""
    say: Callable[[Asked], Any] = lambda asked: completion(asked, calm())
    misbehave: list[Misbehaviour] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    at_once: int = 0


def calm(**severities: int) -> str:
    """What the templates in JSON ask for."""
    return json.dumps(dict.fromkeys(LABELS, 0) | severities)


def completion(asked: Asked, text: str | None, *, finish: str = "stop", first: dict[str, float] | None = None) -> Asked:
    """An answer in the form that was asked for, with the log probabilities of the first token where given."""
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    if "prompt" in asked:
        logprobs: Any = {"top_logprobs": [first]} if first else None
        choice: Asked = {"index": 0, "text": text, "finish_reason": "length", "logprobs": logprobs}
    else:
        tops = [{"token": token, "logprob": value} for token, value in (first or {}).items()]
        logprobs = {"content": [{"token": "x", "logprob": 0.0, "top_logprobs": tops}]} if first else None
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs}
    return {"id": "x", "object": "chat.completion", "model": asked["model"], "choices": [choice], "usage": usage}


def text_of(asked: Asked) -> str:
    """The prompt, or what the user's turn holds."""
    return str(asked["prompt"] if "prompt" in asked else asked["messages"][-1]["content"])


def status(code: int, **headers: str) -> Misbehaviour:
    def answer(request: BaseHTTPRequestHandler, _: ChatServer) -> None:
        _send(request, code, b'{"error": {"message": "no"}}', headers)

    return answer


def content(body: bytes, **headers: str) -> Misbehaviour:
    """Answers 200 with these bytes."""
    return lambda request, _: _send(request, 200, body, headers)


def silence(request: BaseHTTPRequestHandler, server: ChatServer) -> None:
    """Answers nothing until the test is over."""
    server.released.wait(30)


def drip(request: BaseHTTPRequestHandler, server: ChatServer) -> None:
    """Answers byte by byte, each soon enough after the last, without an end."""
    request.send_response(200)
    request.end_headers()
    while not server.released.wait(0.02):
        request.wfile.write(b" ")
        request.wfile.flush()


def flood(request: BaseHTTPRequestHandler, server: ChatServer) -> None:
    """Answers without an end, as fast as it can."""
    request.send_response(200)
    request.end_headers()
    while not server.released.is_set():
        request.wfile.write(b" " * 65_536)


def hang_up(request: BaseHTTPRequestHandler, _: ChatServer) -> None:
    request.close_connection = True


def _send(request: BaseHTTPRequestHandler, code: int, body: bytes, headers: dict[str, str]) -> None:
    request.send_response(code)
    request.send_header("content-type", "application/json")
    request.send_header("content-length", str(len(body)))
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


@contextlib.contextmanager
def serving() -> Iterator[ChatServer]:
    server = ChatServer()

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            with server.lock:
                server.at_once += 1
                server.most_at_once = max(server.most_at_once, server.at_once)
            try:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with server.lock:
                    server.asked.append(asked)
                    server.headers.append({name.lower(): value for name, value in self.headers.items()})
                    wrong = server.misbehave[0] if server.misbehave else None
                    if len(server.misbehave) > 1:
                        server.misbehave.pop(0)
                with contextlib.suppress(ConnectionError):
                    if wrong is not None:
                        wrong(self, server)
                    else:
                        _send(self, 200, json.dumps(server.say(asked)).encode(), {})
            finally:
                with server.lock:
                    server.at_once -= 1

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base's name
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    listener = Listener(("127.0.0.1", 0), Request)
    server.url = f"http://127.0.0.1:{listener.server_port}/v1"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        listener.shutdown()
        listener.server_close()
        thread.join()
