"""What the commands print: tables for people, JSON Lines for programs, one line for an error."""

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from chat_moderator.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from chat_moderator.types import Span

COLOURS: Final = {"allow": "green", "hold": "yellow", "block": "bold red"}
PLAIN_WIDTH: Final = 160
"""Columns of a table that no terminal shows."""


def complain(problem: str) -> None:
    """Says on standard error what went wrong, in one line."""
    _say(f"error: {_one_line(problem)}")


def note(text: str) -> None:
    """Says something on standard error that only somebody who watches wants to know."""
    if sys.stderr.isatty():
        _say(_one_line(text))


def hint(text: str) -> None:
    """Says on standard error what stands beside the answer."""
    _say(_one_line(text))


def console(*, error: bool = False) -> "Console":
    """Where tables go; plain text without colours where it is no terminal."""
    from rich.console import Console  # noqa: PLC0415

    made = Console(stderr=error, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = PLAIN_WIDTH
    return made


def show(*things: "RenderableType", error: bool = False) -> None:
    """Prints tables and lines.

    Raises:
        BrokenPipeError: nobody reads any more; rich alone would end the process with the code of a flagged message.
    """
    screen = console(error=error)
    with screen.capture() as captured:
        for thing in things:
            screen.print(thing, soft_wrap=isinstance(thing, str))
    stream = sys.stderr if error else sys.stdout
    stream.write(captured.get())
    stream.flush()


def prepare() -> None:
    """Makes both streams writable whatever the locale, and whether or not they were open."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 -- it stays open until the end
        else:
            stream.reconfigure(errors="backslashreplace")


def silence() -> None:
    """Drops what is still to be written to standard output, whose reader is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table(*columns: str, title: str | None = None) -> "Table":
    """An empty table."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def write_lines(values: Iterable[Any]) -> None:
    """One JSON object a line, UTF-8 whatever the locale."""
    import msgspec  # noqa: PLC0415

    sys.stdout.buffer.write(msgspec.json.Encoder().encode_lines(list(values)))
    sys.stdout.buffer.flush()


def verdict(word: str) -> "Text":
    """A verdict in its colour."""
    from rich.text import Text  # noqa: PLC0415

    return Text(word, style=COLOURS.get(word, ""))


def shown(text: str, spans: Sequence["Span"] = (), *, limit: int = 500) -> "Text":
    """A text as a terminal may show it: what is not printable is spelt out, what spoke for a score is marked."""
    from rich.text import Text  # noqa: PLC0415

    marked = {place for span in spans for place in range(span.start, min(span.end, limit))}
    made = Text()
    for place, character in enumerate(text[:limit]):
        made.append(printable(character), style="bold underline" if place in marked else "")
    if len(text) > limit:
        made.append(" …")
    return made


def moment(at: datetime | None) -> str:
    """A time to the second, in UTC."""
    return at.strftime("%Y-%m-%d %H:%M:%S") if at is not None else ""


def _one_line(text: str) -> str:
    return " ".join(printable(line.strip()) for line in text.splitlines())


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
