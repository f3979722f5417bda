"""`restore`: puts a backup in the place of the database."""

from pathlib import Path
from typing import Annotated

import typer

from chat_moderator.cli.options import DATA, DataOption


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Made by `chat-moderator backup`.")],
    data_dir: DataOption = DATA,
) -> None:
    """Replace the database by a backup.

    The server must be stopped. The backup is checked first; one that cannot be used changes nothing.
    """
    from chat_moderator.cli.stores import make, sole_owner  # noqa: PLC0415
    from chat_moderator.store import retention  # noqa: PLC0415

    make(data_dir)
    with sole_owner(data_dir):
        retention.restore(file, data_dir)
    typer.echo(f"{data_dir} holds what {file} held")
