"""`dead-letters`: messages that could not be processed, with the reason."""

import sys
from typing import Annotated

import typer

from chat_moderator.cli.options import DATA, DataOption, JsonOption
from chat_moderator.cli.output import hint, moment, show, shown, table, write_lines
from chat_moderator.printable import printable

app = typer.Typer(help="Messages that could not be processed: list, retry, drop.", no_args_is_help=True)

Ids = Annotated[
    list[int] | None, typer.Argument(metavar="[ID]...", show_default=False, help="As the list shows them; all without.")
]


@app.command("list")
def list_all(
    data_dir: DataOption = DATA,
    after: Annotated[int, typer.Option(min=0, metavar="ID", help="Only those after this id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="At most so many.")] = 100,
    json: JsonOption = False,
) -> None:
    """Show dead letters, oldest first."""
    from chat_moderator.cli.stores import use_store  # noqa: PLC0415
    from chat_moderator.store.dead_letters import ListDeadLetters  # noqa: PLC0415

    letters = use_store(data_dir, lambda store: store.ask(ListDeadLetters(after=after, limit=limit)))
    if json:
        write_lines(letters)
        return
    made = table("id", "buried (UTC)", "tries", "reason", "channel", "text")
    for letter in letters:
        message = letter.message
        made.add_row(
            str(letter.id),
            moment(letter.at),
            str(letter.attempts),
            printable(letter.reason),
            printable(message.channel),
            shown(message.text, limit=120),
        )
    show(made if letters else "there are no dead letters")
    if len(letters) == limit:
        hint(f"there may be more: --after {letters[-1].id}")


@app.command()
def retry(ids: Ids = None, data_dir: DataOption = DATA) -> None:
    """Put dead letters back into the queue."""
    from chat_moderator.cli.stores import use_store  # noqa: PLC0415
    from chat_moderator.store.dead_letters import RetryDeadLetters  # noqa: PLC0415

    count = use_store(data_dir, lambda store: store.execute(RetryDeadLetters(ids=tuple(ids or ()))))
    typer.echo(f"{count} put back into the queue")


@app.command()
def drop(
    ids: Ids = None,
    data_dir: DataOption = DATA,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before dropping all.")] = False,
) -> None:
    """Delete dead letters for good."""
    from chat_moderator.cli.stores import use_store  # noqa: PLC0415
    from chat_moderator.store.dead_letters import DropDeadLetters  # noqa: PLC0415

    if not ids and not yes and sys.stdin is not None and sys.stdin.isatty():
        typer.confirm("Drop all dead letters?", abort=True, err=True)
    count = use_store(data_dir, lambda store: store.execute(DropDeadLetters(ids=tuple(ids or ()))))
    typer.echo(f"{count} dropped")
