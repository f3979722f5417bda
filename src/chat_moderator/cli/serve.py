"""`serve`: the whole moderator in one process, on one port."""

from typing import Annotated, Final

import typer

from chat_moderator.cli.options import DATA, ConfigOption, DataOption

MESSAGES: Final = '{"messages":[{"id":"1","text":"Hello!"}, {"id":"2","text":"Fuck"}]}'


def serve(
    host: Annotated[str | None, typer.Option(show_default=False, help="Address; else server.host.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, show_default=False, help="Else server.port.")] = None,
    data_dir: DataOption = DATA,
    config: ConfigOption = None,
) -> None:
    """Start the moderator.

    API, web chat, queue and audit run in one process on one port, until SIGTERM or Ctrl-C. It then takes nothing new,
    finishes what was begun and exits with 0 within ten seconds.
    """
    raise NotImplementedError
