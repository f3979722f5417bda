"""Texts to measure on, labelled or not, from a file of JSON lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from chat_moderator.cli.reading import MAX_LINE, checked
from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS, Message

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class Line(msgspec.Struct, frozen=True):
    """One line; other fields are passed over. A label that is not there, or null, is unknown."""

    text: str
    labels: dict[str, Share | bool | None] = {}


class Labelled(msgspec.Struct, frozen=True):
    """Texts and what is known of each: (texts, LABELS), 0 to 1, NaN where nothing is."""

    texts: list[str]
    labels: "NDArray[np.float32]"


def read(paths: list[Path]) -> Labelled:
    """All lines of all files; empty ones are passed over.

    Raises:
        ConfigError: a file cannot be read, a line is none, or there is nothing in them.
    """
    import numpy as np  # noqa: PLC0415

    lines = [line for path in paths for line in _lines(path)]
    if not lines:
        raise ConfigError("--data", f"there is no text in {', '.join(map(str, paths))}")
    rows = np.full((len(lines), len(LABELS)), np.nan, np.float32)
    for row, line in zip(rows, lines, strict=True):
        for name, value in line.labels.items():
            if value is not None:
                row[LABELS.index(name)] = value
    return Labelled([line.text for line in lines], rows)


def _lines(path: Path) -> Iterator[Line]:
    try:
        stream = path.open("rb")
    except OSError as problem:
        raise ConfigError("--data", f"{path} cannot be read: {problem.strerror}") from problem
    with stream:
        for number, raw in enumerate(stream, start=1):
            if raw.strip():
                yield _line(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw, f"{path}:{number}")


def _line(raw: bytes, place: str) -> Line:
    if len(raw) > MAX_LINE:
        raise ConfigError(place, f"longer than {MAX_LINE // 1024} KB")
    try:
        line = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise ConfigError(place, f'{problem}; a line is {{"text": "...", "labels": {{"toxicity": 1}}}}') from problem
    if unknown := [name for name in line.labels if name not in LABELS]:
        raise ConfigError(place, f"there is no label {unknown[0]!r}; there are {', '.join(LABELS)}")
    checked(Message(place, line.text), place)
    return line


_DECODER: Final = msgspec.json.Decoder(Line)
