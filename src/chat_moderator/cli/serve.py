"""`serve`: the whole moderator in one process, on one port."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from chat_moderator.cli.options import DATA, ConfigOption, DataOption, settings_file
from chat_moderator.cli.output import show, silence
from chat_moderator.printable import printable

if TYPE_CHECKING:
    from chat_moderator.app import App

MESSAGES: Final = '{"messages":[{"id":"1","text":"Hello!"}, {"id":"2","text":"Fuck"}]}'
"""What the printed `curl` sends."""


def serve(
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", show_default=False, help="Else server.host of the settings.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="N", show_default=False, help="Else server.port; 0 takes a free one."),
    ] = None,
    data_dir: DataOption = DATA,
    config: ConfigOption = None,
) -> None:
    """Start the moderator.

    API, web chat, queue and audit run in one process on one port, until SIGTERM or Ctrl-C. It then takes nothing new,
    finishes what was begun and exits with 0 within ten seconds. The data directory is made where it is missing.
    """
    from chat_moderator import interpreter, log  # noqa: PLC0415

    interpreter.one_core_for_arithmetic()
    from chat_moderator import config as configuration  # noqa: PLC0415

    path = settings_file(config)
    settings = configuration.read(path)
    log.configure(settings.log.format, settings.log.level)

    from chat_moderator.app import App  # noqa: PLC0415
    from chat_moderator.gateway import server  # noqa: PLC0415

    own = settings.server
    own = msgspec.structs.replace(own, host=own.host if host is None else host, port=own.port if port is None else port)
    app = App(msgspec.structs.replace(settings, server=own), data_dir, path=path)
    try:
        server.serve(app, own.host, own.port, ready=lambda address: _announce(app, address, data_dir, path))
    finally:
        app.database.close()


def _announce(app: "App", address: str, data_dir: Path, path: Path | None) -> None:
    """Says where it is and what to try, once it is ready."""
    from importlib.metadata import version  # noqa: PLC0415

    from chat_moderator.store.keys import AnyKey  # noqa: PLC0415

    here = address.replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]")
    # Double quotes, in which the shell fills the token in.
    bearer = '"Authorization: Bearer $TOKEN"' if app.database.ask_now(AnyKey()) else "'Authorization: Bearer any'"
    settings = str(path) if path is not None else "built-in"
    curl = f"curl -X POST {here}/run -H {bearer} -H 'Content-Type: application/json' --data '{MESSAGES}'"
    try:
        show(
            f"chat-moderator {version('chat-moderator')} is ready",
            f"  open  {here}/",
            f"  try   {curl}",
            f"settings: {printable(settings)}, data: {printable(str(data_dir))}",
            "Ctrl-C stops it",
        )
    except BrokenPipeError:
        silence()  # it serves all the same
