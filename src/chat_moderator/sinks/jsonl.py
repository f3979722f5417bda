"""Writes every record as a line of JSON."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from chat_moderator.errors import ConfigError, TransientError
from chat_moderator.types import Author, Record, Struct


class Config(Struct, frozen=True):
    """`path`: of the file; it is appended to."""

    path: str


class JsonlSink:
    """Appends and syncs a batch at a time; after a crash the last batch may stand twice, with the same `seq`.

    Raises:
        ConfigError: the file cannot be opened.
    """

    def __init__(self, config: Config) -> None:
        self._path = Path(config.path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
        except OSError as problem:
            raise ConfigError("sinks.path", f"{self._path} cannot be written: {problem.strerror}") from problem
        self._lock = asyncio.Lock()

    async def write(self, records: Sequence[Record]) -> None:
        """See `Sink.write`."""
        async with self._lock:
            await asyncio.to_thread(self._append, msgspec.json.Encoder().encode_lines(records))

    async def erase(self, author_id: str, *, platform: str | None = None) -> None:
        """Writes the file anew without the author's texts and name."""
        async with self._lock:
            await asyncio.to_thread(self._rewrite, author_id, platform)

    async def aclose(self) -> None:
        """The file is closed after every batch."""

    def _append(self, lines: bytes) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            raise TransientError(f"{self._path} cannot be written: {problem.strerror}") from problem

    def _rewrite(self, author_id: str, platform: str | None) -> None:
        decoder, encoder = msgspec.json.Decoder(Record), msgspec.json.Encoder()
        staged = self._path.with_name(f"{self._path.name}.new")
        with self._path.open("rb") as old, staged.open("wb") as new:
            for line in old:
                record = decoder.decode(line)
                message = record.message
                if message.author.id == author_id and platform in {None, message.platform}:
                    blank = msgspec.structs.replace(message, text="", author=Author(id=author_id))
                    new.write(encoder.encode(msgspec.structs.replace(record, message=blank)) + b"\n")
                else:
                    new.write(line)
            new.flush()
            os.fsync(new.fileno())
        staged.replace(self._path)
