"""`erase`: an author's texts and name, gone from every table and file."""

from typing import TYPE_CHECKING, Annotated

import typer

from chat_moderator.cli.options import DATA, ConfigOption, DataOption, read_settings
from chat_moderator.cli.output import hint
from chat_moderator.errors import ConfigError

if TYPE_CHECKING:
    from chat_moderator.config import Settings
    from chat_moderator.store.database import Store


def erase(
    author: Annotated[str, typer.Option("--author", metavar="ID", help="The author's id on the platform.")],
    platform: Annotated[str | None, typer.Option(metavar="NAME", help="Only there; everywhere without.")] = None,
    data_dir: DataOption = DATA,
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove an author's texts and name.

    They are gone for good from every table and every file of the configured sinks; the decisions stay, without them.
    Backups made before still hold them.
    """
    from chat_moderator.cli.stores import shared_by, use_store  # noqa: PLC0415

    if not author:
        raise ConfigError("--author", "an id is needed")
    settings = read_settings(config)
    if not yes:
        where = f" on {platform}" if platform else ""
        typer.confirm(f"Erase all texts and the name of author {author!r}{where} for good?", abort=True, err=True)
    changed = use_store(data_dir, lambda store: _erase(store, settings, author, platform), shared=shared_by(config))
    typer.echo(f"rows without text and name now: {changed}")


async def _erase(store: "Store", settings: "Settings", author: str, platform: str | None) -> int:
    from chat_moderator import registry  # noqa: PLC0415
    from chat_moderator.store.socket import RemoteStore  # noqa: PLC0415
    from chat_moderator.store.stored_audit import StoredAudit  # noqa: PLC0415

    changed = await StoredAudit(store).erase(author, platform=platform)
    if isinstance(store, RemoteStore):  # the process that serves has its own sinks forget
        return changed
    for index, table in enumerate(settings.sinks):
        own = {key: value for key, value in table.items() if key != "type"}
        kind, own_config = registry.configure("sink", str(table.get("type")), own, path=f"sinks[{index}]")
        sink = kind(own_config) if own_config is not None else kind()
        await sink.erase(author, platform=platform)
        if "path" in table:
            hint(f"written anew without them: {table['path']}")
        await sink.aclose()
    return changed
