"""Messages from a stream of lines, as they arrive."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

import msgspec

from chat_moderator.errors import ConfigError
from chat_moderator.gateway import limits
from chat_moderator.types import Message

MAX_LINE: Final = limits.BODY
"""Bytes; a text of the greatest length fits, however it is escaped."""

CHUNK: Final = 64 * 1024
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

Parse = Callable[[bytes, int], Message]
"""From a line and its number."""


def batches(stream: BinaryIO, parse: Parse) -> Iterator[list[Message]]:
    """What has arrived, batch by batch: a line is handed over when it is there, not when the stream ends.

    Args:
        stream: lines that end with a line feed, or with carriage return and line feed.
        parse: `plain` or `jsonl`; the latter passes over lines that hold nothing but white space.

    Raises:
        ConfigError: a line cannot be read; it is named by its number, and nothing of its batch is handed over.
    """
    number = 0
    for lines in _arrived(stream):
        numbered = enumerate(lines, start=number + 1)
        number += len(lines)
        batch = [parse(line, place) for place, line in numbered if parse is not jsonl or line.strip()]
        if batch:
            yield batch


def plain(line: bytes, number: int) -> Message:
    """A line is a text, its number is its id."""
    try:
        text = line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as problem:
        wrong = f"not UTF-8: byte 0x{line[problem.start]:02x} at place {problem.start + 1}"
        raise ConfigError(f"line {number}", wrong) from problem
    return checked(Message(str(number), text), f"line {number}")


def jsonl(line: bytes, number: int) -> Message:
    """A line is a JSON object with the fields of a message."""
    try:
        message = _MESSAGE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise ConfigError(f"line {number}", f"not a message: {_reason(line, problem)}") from problem
    return checked(message, f"line {number}")


def checked(message: Message, place: str) -> Message:
    """The message, when the API would take it.

    Raises:
        ConfigError: the text is too long, or there is a NUL.
    """
    if len(message.text) > limits.TEXT:
        raise ConfigError(place, f"the text has {len(message.text):,} characters; at most {limits.TEXT:,} are taken")
    if b"\\u0000" in msgspec.json.encode(message).replace(b"\\\\", b""):
        raise ConfigError(place, "NUL is not taken in a text")
    return message


def _reason(line: bytes, problem: Exception) -> str:
    if "unknown field" in str(problem):
        return f"{problem}; the fields are {', '.join(Message.__struct_fields__)}"
    if not isinstance(problem, msgspec.ValidationError) and b"\\u" in line:
        # The decoder takes half of an escaped surrogate pair for the end of the line.
        with contextlib.suppress(ValueError, RecursionError):
            if _SURROGATE.search(json.dumps(json.loads(line), ensure_ascii=False)):
                return "there is half a surrogate pair, which no text can hold"
    return str(problem)


def _arrived(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Complete lines, as many as are there; they wait for the end of a line that has begun to arrive behind them."""
    lines: list[bytes] = []
    rest, number, size = b"", 0, 0
    while chunk := _read(stream):
        *ended, rest = (rest + chunk).split(b"\n")
        size += sum(map(len, ended))
        lines += ended
        for place, line in enumerate((*ended, rest), start=number + len(lines) - len(ended) + 1):
            if len(line) > MAX_LINE:
                raise ConfigError(f"line {place}", f"longer than {MAX_LINE // 1024} KB")
        if lines and (not rest or size >= CHUNK):
            yield _unmarked(lines, number)
            number, size, lines = number + len(lines), 0, []
    if rest:
        lines.append(rest)
    if lines:
        yield _unmarked(lines, number)


def _unmarked(lines: list[bytes], number: int) -> list[bytes]:
    """The lines after the first `number` ones, without the mark that some editors put before the first of all."""
    return lines if number else [lines[0].removeprefix(BYTE_ORDER_MARK), *lines[1:]]


def _read(stream: BinaryIO) -> bytes:
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    return read(CHUNK)


_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MESSAGE: Final = msgspec.json.Decoder(Message)
