"""What `init cerebrium NAME` makes: a folder that `cerebrium deploy` takes as it is."""

import json
import re
import shutil
from importlib.metadata import requires
from importlib.resources import files
from pathlib import Path
from typing import Final

import chat_moderator
from chat_moderator.errors import ConfigError

INCLUDED: Final = ("main.py", "cerebrium.toml", "moderator.toml", "chat_moderator/**")

SETTINGS: Final = """\
# The settings of the function; unset keys have their defaults. What decides is [policy].

[policy]
#preset = "default"     # youth, default or lenient
#threshold = 0.8        # blocks at this score; TOXICITY_THRESHOLD wins, see [cerebrium.environment] of cerebrium.toml
"""

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_REQUIREMENT: Final = re.compile(r"(?P<name>[\w.-]+(\[[\w.,-]+\])?)(?P<version>[^;]*)(?P<marker>;.*)?")
_UNPACKED: Final = ("__pycache__", ".*")


def cerebrium(name: str) -> Path:
    """Makes the folder `name` with the app, its settings and the package itself.

    Raises:
        ConfigError: the name is none that the platform takes, or there is such a folder already.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError("NAME", f"{name!r} is no name for an app; allowed are 1 to 32 of a-z, 0-9 and - between them")
    folder = Path(name)
    try:
        folder.mkdir()
    except FileExistsError as problem:
        raise ConfigError("NAME", f"there is a {name} here already; nothing was changed") from problem
    settings = toml(name, include=INCLUDED, shell_commands=(), pip=dependencies())
    (folder / "cerebrium.toml").write_text(settings, "utf-8")
    (folder / "main.py").write_text(_template("main.py.txt"), "utf-8")
    (folder / "moderator.toml").write_text(SETTINGS, "utf-8")
    package = Path(chat_moderator.__file__).parent
    shutil.copytree(package, folder / "chat_moderator", ignore=shutil.ignore_patterns(*_UNPACKED))
    return folder


def toml(name: str, *, include: tuple[str, ...], shell_commands: tuple[str, ...], pip: dict[str, str]) -> str:
    """The text of cerebrium.toml."""
    lines = "".join(f"{json.dumps(each)} = {json.dumps(version)}\n" for each, version in pip.items())
    return _template("cerebrium.toml.txt").format(
        name=json.dumps(name), include=json.dumps(include), shell_commands=json.dumps(shell_commands), pip=lines
    )


def dependencies() -> dict[str, str]:
    """The libraries that the package needs without any extra, by name, with their versions."""
    found = [_REQUIREMENT.fullmatch(each) for each in requires("chat-moderator") or ()]
    return {
        each["name"]: each["version"].strip() or "latest" for each in found if each is not None and not each["marker"]
    }


def _template(name: str) -> str:
    return (files("chat_moderator.functions") / "scaffold" / name).read_text("utf-8")
