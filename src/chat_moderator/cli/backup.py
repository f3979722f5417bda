"""`backup`: a copy of the database, as it is at one moment."""

from pathlib import Path
from typing import Annotated

import typer

from chat_moderator.cli.options import DATA, DataOption


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it must not exist.")],
    data_dir: DataOption = DATA,
) -> None:
    """Copy the database to a new file.

    Also while a server runs: the copy is the database as it is at one moment.
    """
    from chat_moderator.cli.stores import use_store  # noqa: PLC0415
    from chat_moderator.store.retention import Backup  # noqa: PLC0415

    # The process that owns the database writes the file, and has a current directory of its own.
    size = use_store(data_dir, lambda store: store.ask(Backup(path=str(file.absolute()))))
    typer.echo(f"{file}: {size:,} bytes")
