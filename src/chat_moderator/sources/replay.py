"""Reads messages from a file of JSON Lines."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from chat_moderator.errors import ConfigError
from chat_moderator.protocols import Intake
from chat_moderator.types import Message, Struct

BATCH = 256


class Config(Struct, frozen=True):
    """`path`: of the file, one message as a JSON object a line."""

    path: str


class ReplaySource:
    """Hands over the messages of a file, in order, once.

    Raises:
        ConfigError: the file is missing, or a line is not a message; its number is named.
    """

    def __init__(self, config: Config) -> None:
        self._path = Path(config.path)
        if not self._path.is_file():
            raise ConfigError("path", f"{self._path} is not a file")

    async def run(self, intake: Intake) -> None:
        """See `Source.run`; returns at the end of the file."""
        for batch in self.batches():
            await intake.accept(batch)

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def batches(self) -> Iterator[list[Message]]:
        """The file's messages, up to 256 at a time."""
        decoder = msgspec.json.Decoder(Message)
        batch: list[Message] = []
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    batch.append(decoder.decode(line))
                except (msgspec.DecodeError, UnicodeDecodeError) as problem:
                    raise ConfigError(f"{self._path}:{number}", f"not a message: {problem}") from problem
                if len(batch) == BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch
