"""What no webhook takes in: calls that the platform did not make, did not make now, or did not make that way."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from chat_moderator.errors import RefusedError
from chat_moderator.protocols import Intake, WebhookSource
from chat_moderator.types import Struct, WebhookCall, now


class WebhookCase(Protocol):
    """How a platform signs its calls.

    Attributes:
        signature: the name of the header that carries the signature or the secret, in lower case.
        time: the name of the header with the signed time; empty where the platform sends none.
        settings: of the connection, besides those of `Platform`: the keys that the signatures are checked with.
        signs: whether the signature depends on the body; a shared secret does not.
    """

    signature: str
    time: str
    signs: bool
    settings: dict[str, Any]

    def call(self) -> bytes:
        """The body of a call that does something when it is taken in."""

    def headers(self, body: bytes, at: datetime, *, foreign: bool = False) -> dict[str, str]:
        """All headers of a call; `foreign`: signed with another key."""


class Vector(Struct, frozen=True):
    """One call that has to be refused with one of the statuses."""

    name: str
    headers: dict[str, str]
    body: bytes
    statuses: tuple[int, ...] = (401,)


def vectors(case: WebhookCase, at: datetime) -> list[Vector]:
    """Calls that have to be refused at the moment `at`; at least 25."""
    body = case.call()
    good = case.headers(body, at)
    found = [*_signatures(case, body, good, at), *_forms(case, body, good, at)]
    if case.signs:
        found += _bodies(case, body, good, at)
    if case.time:
        found += _times(case, body, good, at)
    return found


async def keeps_the_window(source: WebhookSource, intake: Intake, case: WebhookCase) -> None:
    """Five minutes either way, to the second."""
    if not case.time:
        return
    at, body = now().replace(microsecond=0), case.call()
    for seconds in (-301, 301):
        headers = case.headers(body, at + timedelta(seconds=seconds))
        try:
            await source.receive(WebhookCall(headers, body, at), intake)
        except RefusedError:
            continue
        raise AssertionError(f"a call {seconds} s off was taken")
    for seconds in (-300, 0, 300):
        await source.receive(WebhookCall(case.headers(body, at + timedelta(seconds=seconds)), body, at), intake)


def _signatures(case: WebhookCase, body: bytes, good: dict[str, str], at: datetime) -> Iterator[Vector]:
    name, signature = case.signature, good[case.signature]
    yield Vector("no signature", {key: value for key, value in good.items() if key != name}, body)
    yield Vector("another key", case.headers(body, at, foreign=True), body)
    for label, change in _CHANGES.items():
        yield Vector(f"signature: {label}", good | {name: change(signature)}, body)


def _bodies(case: WebhookCase, body: bytes, good: dict[str, str], at: datetime) -> Iterator[Vector]:
    yield Vector("signature of another body", good | {case.signature: case.headers(b"{}", at)[case.signature]}, body)
    for label, other in {
        "one byte more": body + b" ",
        "one byte less": body[:-1],
        "none": b"",
        "another": body.replace(b"1", b"2"),
        "re-serialised": _again(body),
    }.items():
        yield Vector(f"body: {label}", good, other)


def _times(case: WebhookCase, body: bytes, good: dict[str, str], at: datetime) -> Iterator[Vector]:
    name, timestamp = case.time, good[case.time]
    yield Vector("no timestamp", {key: value for key, value in good.items() if key != name}, body)
    for label, value in {
        "empty": "",
        "one second earlier": case.headers(body, at - timedelta(seconds=1))[name],
        "with a fraction": f"{timestamp}.0",
        "with a sign": f"+{timestamp}",
        "negative": f"-{timestamp}",
        "in words": "now",
        "NaN": "nan",
        "endless": "9" * 5000,
        "in milliseconds": f"{timestamp}000",
        "in other digits": "\u00b2\u00b3",
    }.items():
        yield Vector(f"timestamp: {label}", good | {name: value}, body)
    for seconds in (-86_400, -360, 360, 86_400):  # to the second: `keeps_the_window`
        moved = case.headers(body, at + timedelta(seconds=seconds))
        yield Vector(f"signed {seconds} s off", moved, body)


def _forms(case: WebhookCase, body: bytes, good: dict[str, str], at: datetime) -> Iterator[Vector]:
    for media in ("text/plain", "application/xml", "multipart/form-data", ""):
        yield Vector(f"content type {media!r}", good | {"content-type": media}, body, (415,))
    yield Vector("compressed", good | {"content-encoding": "gzip"}, body, (415,))
    large = b" " * 1_100_000
    yield Vector("too large", case.headers(large, at), large, (413,))
    for label, malformed in {
        "no JSON": b"x",
        "cut off": b'{"type',
        "not UTF-8": b'"\xff"',
        "a number": b"1",
        "deep": b"[" * 100_000,
    }.items():
        yield Vector(f"well signed, {label}", case.headers(malformed, at), malformed, (400,))


def _again(body: bytes) -> bytes:
    try:
        return json.dumps(json.loads(body), indent=1).encode()
    except ValueError:  # a form
        return body.replace(b"%22", b"%22%20")


def _start(signature: str) -> int:
    """Where the digits of a signature begin, behind its version."""
    return max(signature[:8].find("="), signature[:8].find(",")) + 1


_CHANGES: Final[dict[str, Callable[[str], str]]] = {
    "empty": lambda _: "",
    "cut": lambda text: text[:-1],
    "lengthened": lambda text: text + "0",
    "first half": lambda text: text[: len(text) // 2],
    "twice": lambda text: text * 2,
    "backwards": lambda text: text[::-1],
    "last digit": lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
    "zeros": lambda text: text[: _start(text)] + "0" * (len(text) - _start(text)),
    "another version": lambda text: f"v9={text.rpartition('=')[2]}",
    "a list": lambda text: f"{text},{text}",
    "beyond ASCII": lambda text: "\u00ff" + text[1:],
    "long": lambda _: "a" * 7000,
}
