"""`keys`: who may use the API, and as what."""

from datetime import timedelta
from typing import Annotated, Final

import typer

from chat_moderator.cli.options import DATA, DataOption, JsonOption
from chat_moderator.cli.output import hint, moment, show, table, write_lines
from chat_moderator.errors import ConfigError
from chat_moderator.printable import printable
from chat_moderator.types import Role, now

MAX_NAME_LENGTH = 100

DAYS: Final = 31
"""Days of usage that are shown."""

app = typer.Typer(help="API keys: create, list, limit, usage, revoke.", no_args_is_help=True)

RateOption = Annotated[
    float, typer.Option(min=0.0, max=1e6, metavar="N", help="Requests a second that it may send; 0 for any number.")
]
BurstOption = Annotated[
    int, typer.Option(min=0, max=10**9, metavar="N", help="Requests at once; 0 for twice the rate.")
]
QuotaOption = Annotated[
    int,
    typer.Option(min=0, max=10**15, metavar="N", help="Texts a day (UTC) that it may have judged; 0 for any number."),
]


@app.command()
def create(  # noqa: PLR0917 -- options
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, for the list and the audit.")],
    role: Annotated[
        Role,
        typer.Option(
            metavar="|".join(Role), help="A client sends messages, a moderator also reviews, an admin does all."
        ),
    ] = Role.CLIENT,
    rate: RateOption = 0.0,
    burst: BurstOption = 0,
    quota: QuotaOption = 0,
    data_dir: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Make a key and print its token, this once."""
    from chat_moderator.cli.stores import use_store  # noqa: PLC0415
    from chat_moderator.store.keys import CreateKey, KeyLimits  # noqa: PLC0415

    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME_LENGTH:
        raise ConfigError("NAME", f"must be one line of 1 to {MAX_NAME_LENGTH} characters")
    command = CreateKey(name=name, role=role, limits=KeyLimits(rate, burst, quota))
    made = use_store(data_dir, lambda store: store.execute(command), create=True)
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
    made = table("id", "name", "role", "created (UTC)", "revoked (UTC)", "rate", "burst", "quota")
    for key in keys:
        made.add_row(
            key.id,
            printable(key.name),
            key.role.value,
            moment(key.created_at),
            moment(key.revoked_at),
            f"{key.limits.rate:g}/s" if key.limits.rate else "",
            f"{key.limits.at_once:g}" if key.limits.rate else "",
            f"{key.limits.quota:,}/day" if key.limits.quota else "",
        )
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


@app.command()
def limit(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")],
    rate: RateOption = 0.0,
    burst: BurstOption = 0,
    quota: QuotaOption = 0,
    data_dir: DataOption = DATA,
) -> None:
    """Give a key other limits.

    They are in force within a second. What is left out is without limit.
    """
    from chat_moderator.cli.stores import use_store  # noqa: PLC0415
    from chat_moderator.store.keys import KeyLimits, LimitKey  # noqa: PLC0415

    limits = KeyLimits(rate, burst, quota)
    use_store(data_dir, lambda store: store.execute(LimitKey(id=key_id, limits=limits)))
    of_rate = f"{rate:g} requests a second, {limits.at_once:g} at once" if rate else "any number of requests"
    of_quota = f"{quota:,} texts a day" if quota else "any number of texts"
    typer.echo(f"key {key_id} may send {of_rate}, and {of_quota}")


@app.command()
def usage(
    days: Annotated[int, typer.Option(min=1, max=3650, metavar="N", help="How many days, today included.")] = DAYS,
    data_dir: DataOption = DATA,
    json: JsonOption = False,
) -> None:
    """Show what each key used, by day (UTC).

    `local` is this machine while there was no key. A server writes it down once a second.
    """
    from chat_moderator.cli.stores import use_store  # noqa: PLC0415
    from chat_moderator.store.keys import ListKeys  # noqa: PLC0415
    from chat_moderator.store.usage import ListUsage  # noqa: PLC0415

    since = (now() - timedelta(days=days - 1)).date().isoformat()
    used = use_store(data_dir, lambda store: store.ask(ListUsage(since=since)))
    if json:
        write_lines(used)
        return
    names = {key.id: key.name for key in use_store(data_dir, lambda store: store.ask(ListKeys()))}
    made = table("day", "key", "name", "requests", "texts", "refused")
    for each in used:
        name = printable(names.get(each.key, ""))
        made.add_row(each.day, each.key, name, f"{each.requests:,}", f"{each.texts:,}", f"{each.refused:,}")
    show(made if used else f"no key was used since {since}")
