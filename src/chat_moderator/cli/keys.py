"""`keys`: who may use the API, and as what."""

from typing import Annotated

import typer

from chat_moderator.cli.options import DATA, DataOption, JsonOption
from chat_moderator.cli.output import hint, moment, show, table, write_lines
from chat_moderator.errors import ConfigError
from chat_moderator.printable import printable
from chat_moderator.types import Role

MAX_NAME_LENGTH = 100

app = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, for the list and the audit.")],
    role: Annotated[
        Role,
        typer.Option(
            metavar="|".join(Role), help="A client sends messages, a moderator also reviews, an admin does all."
        ),
    ] = Role.CLIENT,
    data_dir: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Make a key and print its token, this once."""
    from chat_moderator.cli.stores import use_store  # noqa: PLC0415
    from chat_moderator.store.keys import CreateKey  # noqa: PLC0415

    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_LENGTH:
        raise ConfigError("NAME", f"must be one line of 1 to {MAX_NAME_LENGTH} characters")
    made = use_store(data_dir, lambda store: store.execute(CreateKey(name=name, role=role)), create=True)
    if json:
        write_lines([made])
        return
    hint(f"key {made.key.id} for {name}, role {role.value}; the token is shown this once:")
    typer.echo(made.token)


@app.command("list")
def list_all(data_dir: DataOption = DATA, json: JsonOption = False) -> None:
    """Show all keys, the revoked ones too; never their tokens."""
    from chat_moderator.cli.stores import use_store  # noqa: PLC0415
    from chat_moderator.store.keys import ListKeys  # noqa: PLC0415

    keys = use_store(data_dir, lambda store: store.ask(ListKeys()))
    if json:
        write_lines(keys)
        return
    made = table("id", "name", "role", "created (UTC)", "revoked (UTC)")
    for key in keys:
        made.add_row(key.id, printable(key.name), key.role.value, moment(key.created_at), moment(key.revoked_at))
    show(made if keys else "there are no keys: `chat-moderator keys create NAME` makes one")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")], data_dir: DataOption = DATA
) -> None:
    """End a key at once."""
    from chat_moderator.cli.stores import use_store  # noqa: PLC0415
    from chat_moderator.store.keys import RevokeKey  # noqa: PLC0415

    use_store(data_dir, lambda store: store.execute(RevokeKey(id=key_id)))
    typer.echo(f"key {key_id} is revoked")
