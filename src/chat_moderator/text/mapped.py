"""Text that remembers where each of its characters came from."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Mapped(NamedTuple):
    """A text derived from an original one.

    Character `i` of `text` stands for the characters `starts[i]` to `ends[i]` (exclusive, code points) of the original.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, text: str, offset: int = 0) -> "Mapped":
        """The text itself, found at `offset` of the original."""
        return cls(text, tuple(range(offset, offset + len(text))), tuple(range(offset + 1, offset + len(text) + 1)))

    @classmethod
    def join(cls, pieces: Iterable[tuple[str, int, int]]) -> "Mapped":
        """Puts pieces (text, start, end) one after another; every character of a piece stands for the whole of it."""
        texts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        for text, start, end in pieces:
            texts.append(text)
            starts += [start] * len(text)
            ends += [end] * len(text)
        return cls("".join(texts), tuple(starts), tuple(ends))

    def pieces(self, start: int, end: int) -> Iterator[tuple[str, int, int]]:
        """Characters `start` to `end` (exclusive) with their places, to be joined again."""
        return zip(self.text[start:end], self.starts[start:end], self.ends[start:end], strict=True)

    def cut(self, start: int, end: int) -> "Mapped":
        """Characters `start` to `end` (exclusive)."""
        return Mapped(self.text[start:end], self.starts[start:end], self.ends[start:end])

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where characters `start` to `end` (exclusive, at least one) came from, as one stretch of the original."""
        return min(self.starts[start:end]), max(self.ends[start:end])
