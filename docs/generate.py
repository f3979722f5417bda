"""Writes the pages that are made from the program itself: `python docs/generate.py`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer.main

from chat_moderator.cli.program import app

PAGE: Final = Path(__file__).parent / "reference" / "cli.md"
INTRODUCTION: Final = """\
# The command line

<!-- Made by docs/generate.py from the program itself. -->

A command exits with 0 when it did what it was asked, with 2 after an error, which is one line on standard error, and
with 130 when it is interrupted. `moderate` says 1 when a text is flagged, `doctor` when there is something to fix.

`keys`, `dead-letters`, `reviews`, `backup`, `erase` and `doctor` work on the same data directory whether a server runs
or not: through the server's socket when one does.
"""


def page() -> str:
    """The reference of all commands, as Markdown."""
    root: Any = typer.main.get_command(app)
    return "\n".join([INTRODUCTION, *(line for command in _commands(root, "chat-moderator") for line in command)])


def _commands(group: Any, path: str) -> Iterator[list[str]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
        else:
            yield _section(command, f"{path} {name}")


def _section(command: Any, path: str) -> list[str]:
    shown = [parameter for parameter in command.params if "--help" not in parameter.opts]
    usage = [path, *(_written(each) for each in shown if each.param_type_name == "argument"), "[OPTIONS]"]
    rows = [f"| {_name(each)} | {_said(each)} |" for each in shown]
    return [f"## {path}", "", f"`{' '.join(usage)}`", "", command.help, "", "| | |", "|---|---|", *rows, ""]


def _written(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_written(parameter)}`"
    value = "" if parameter.is_flag else f" {parameter.metavar or 'TEXT'}".replace("|", "\\|")
    return f"`{', '.join(parameter.opts)}{value}`"


def _said(parameter: Any) -> str:
    default = getattr(parameter.default, "value", parameter.default)
    plain = parameter.param_type_name == "argument" or parameter.is_flag or default in (None, "", ())
    required = " Needed." if parameter.required and parameter.param_type_name == "option" else ""
    return f"{parameter.help or ''}{required}{'' if plain else f' Default: `{default}`.'}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
