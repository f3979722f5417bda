"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from chat_moderator.cli.output import note

if TYPE_CHECKING:
    from chat_moderator.config import Settings

FILE: Final = Path("moderator.toml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        show_default=False,
        help="Settings. Without it, moderator.toml of the current directory where there is one.",
    ),
]
DataOption = Annotated[
    Path, typer.Option("--data-dir", metavar="DIRECTORY", help="Where the database and its socket are.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")]

DATA: Final = Path("data")


def settings_file(config: Path | None) -> Path | None:
    """The file to read settings from; says on a terminal which one was found."""
    if config is not None or not FILE.is_file():
        return config
    note(f"settings from {FILE}")
    return FILE


def read_settings(config: Path | None) -> "Settings":
    """The settings of a file, or the built-in ones.

    Raises:
        ConfigError: the file is missing or something in it is wrong.
    """
    from chat_moderator.config import read  # noqa: PLC0415 -- every command would pay for it

    return read(settings_file(config))
