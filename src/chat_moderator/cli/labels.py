"""`labels`: the scores that people suggested, for the next training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from chat_moderator.cli.options import DATA, DataOption
from chat_moderator.cli.output import hint
from chat_moderator.errors import ConfigError

if TYPE_CHECKING:
    from chat_moderator.store.database import Store
    from chat_moderator.store.labels import Label

PAGE: Final = 1000

app = typer.Typer(help="Suggested scores: export, drop.", no_args_is_help=True)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it must not exist. - is standard output.")],
    data_dir: DataOption = DATA,
) -> None:
    """Write suggested scores as training rows, a JSON object a line.

    Each has id, text, labels by name (0 to 1), source and lang, as the training takes them.
    """
    import sys  # noqa: PLC0415

    import msgspec  # noqa: PLC0415

    from chat_moderator.cli.stores import use_store  # noqa: PLC0415

    if file != Path("-") and file.exists():
        raise ConfigError("FILE", f"{file} exists: name a new file")
    labels = use_store(data_dir, _all)
    lines = b"".join(msgspec.json.encode(row_of(label)) + b"\n" for label in labels)
    if file == Path("-"):
        sys.stdout.write(lines.decode())
    else:
        file.write_bytes(lines)
    last = f", the last has id {labels[-1].id}" if labels else ""
    hint(f"{len(labels)} labels written{last}")


@app.command()
def drop(
    through: Annotated[int, typer.Option(min=1, metavar="ID", help="Up to this one, itself included.")],
    data_dir: DataOption = DATA,
) -> None:
    """Delete suggested scores for good."""
    from chat_moderator.cli.stores import use_store  # noqa: PLC0415
    from chat_moderator.store.labels import DropLabels  # noqa: PLC0415

    dropped = use_store(data_dir, lambda store: store.execute(DropLabels(through=through)))
    typer.echo(f"{dropped} labels are dropped")


def row_of(label: "Label") -> dict[str, Any]:
    """A label as a row of training data."""
    return {
        "id": f"suggested:{label.id}",
        "text": label.text,
        "labels": label.scores,
        "source": "suggested",
        "lang": label.language,
        "native": {"client": label.client, "community": label.community, "token": label.token},
    }


async def _all(store: "Store") -> "list[Label]":
    from chat_moderator.store.labels import ListLabels  # noqa: PLC0415

    found: list[Label] = []
    while page := await store.ask(ListLabels(after=found[-1].id if found else 0, limit=PAGE)):
        found += page
    return found
