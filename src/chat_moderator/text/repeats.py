"""Letters held down: "fuuuck", "ffuucckk", "cooool"."""

import re
from collections.abc import Iterator
from typing import Final

from chat_moderator.text.mapped import Mapped

_RUN: Final = re.compile(r"(.)\1+")
_LONG: Final = 3
_RUNS_TRIED: Final = 4


def has_run(word: str) -> bool:
    """Whether some character stands twice or more in a row."""
    return _RUN.search(word) is not None


def has_long_run(word: str) -> bool:
    """Whether some character stands three times or more in a row."""
    return any(match.end() - match.start() >= _LONG for match in _RUN.finditer(word))


def repeat_readings(mapped: Mapped) -> Iterator[Mapped]:
    """The word with long runs at one or two letters, in every combination of up to four; then with no double letter.

    Before that, if every letter stands there an even number of times: half as often.
    """
    runs = [match.span() for match in _RUN.finditer(mapped.text)]
    sizes = {run: run[1] - run[0] for run in runs}
    if sum(sizes.values()) == len(mapped.text) and all(size % 2 == 0 for size in sizes.values()):
        yield _shorten(mapped, {run: size // 2 for run, size in sizes.items()})
    long = [run for run in runs if run[1] - run[0] >= _LONG]
    if long:
        for choice in range(1 << min(len(long), _RUNS_TRIED)):
            yield _shorten(mapped, {run: 1 + (choice >> bit & 1) for bit, run in enumerate(long)})
    if len(runs) > len(long):
        yield _shorten(mapped, dict.fromkeys(runs, 1))


def _shorten(mapped: Mapped, lengths: dict[tuple[int, int], int]) -> Mapped:
    pieces: list[tuple[str, int, int]] = []
    at = 0
    for (start, end), length in lengths.items():
        pieces += mapped.pieces(at, start)
        for index in range(length):
            to = mapped.ends[end - 1] if index == length - 1 else mapped.ends[start]
            pieces.append((mapped.text[start], mapped.starts[start], to))
        at = end
    pieces += mapped.pieces(at, len(mapped.text))
    return Mapped.join(pieces)
