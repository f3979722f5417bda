"""`init`: connects a platform: asks, looks whether it is enough, writes the settings. Starts flag-only."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from chat_moderator.cli.options import FILE
from chat_moderator.cli.output import hint, show
from chat_moderator.errors import ConfigError

if TYPE_CHECKING:
    from chat_moderator.sources.setup import Question, Shortcoming

TO_FIX: Final = 1
FUNCTION: Final = "cerebrium"

BLOCK: Final = """
[[sources]]
type = {type}
name = {name}                     # of the connection
{keys}
enforce = false                 # true: acts on the platform; until then it records, and alerts the moderators
exempt_roles = []               # whom and what it passes over, by id or name
exempt_channels = []
exempt_authors = []
"""
ACTIONS: Final = """
[policy.actions]                # what follows a verdict
block = ["delete", "reply", "alert"]
hold = ["hold", "alert"]
"""


def init(  # noqa: PLR0917 -- typer reads the options of a command from its parameters
    platform: Annotated[
        str, typer.Argument(metavar="PLATFORM", help="Such as discord or slack; or cerebrium, for a function.")
    ],
    app: Annotated[
        str,
        typer.Argument(
            metavar="[APP]", show_default=False, help="With cerebrium only: the app's name, and of the folder to make."
        ),
    ] = "",
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Of the connection; the platform's where it is left out.")
    ] = "",
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            show_default=False,
            help="Answers a question beforehand, by its key; may be repeated. A secret is taken from the environment, "
            "such as DISCORD_TOKEN, and asked for where it is not there.",
        ),
    ] = None,
    file: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="Settings to write, or to add to after asking.")
    ] = FILE,
    yes: Annotated[bool, typer.Option("--yes", help="Add to an existing file without asking.")] = False,
) -> None:
    """Connect a platform.

    Asks for what is needed, checks token and permissions with the platform, says what is missing and where to click,
    and writes the settings. Nothing is deleted until you set enforce = true. Secrets are neither shown nor written:
    the settings name the environment variables that hold them. Exits with 1 when something is missing.

    With cerebrium it makes a folder with a function for that platform, its settings and all it needs.
    """
    if platform == FUNCTION:
        from chat_moderator.cli import scaffold  # noqa: PLC0415

        show(f"{scaffold.cerebrium(app)} is made; deploy it: cd {app} && cerebrium deploy")
        return
    if app:
        raise ConfigError("APP", f"only {FUNCTION} takes one; a connection is named with --name")
    import asyncio  # noqa: PLC0415

    from chat_moderator import registry  # noqa: PLC0415
    from chat_moderator.errors import TransientError  # noqa: PLC0415

    setup = registry.load("setup", platform, path="PLATFORM")()
    answers = _answers(platform, setup.questions, _pairs(given or []))
    try:
        missing: Sequence[Shortcoming] = asyncio.run(setup.examine(answers))
    except TransientError as problem:
        missing = ()
        hint(f"could not be checked: {problem}")
    _write(file, _block(platform, name or platform, setup.questions, answers), yes=yes)
    _say_what_is_left(platform, setup.questions, missing)
    raise typer.Exit(TO_FIX if missing else 0)


def _pairs(given: Sequence[str]) -> dict[str, str]:
    for pair in given:
        if "=" not in pair:
            raise ConfigError("--set", f"{pair!r} is not KEY=VALUE")
    return {key: value for key, _, value in (pair.partition("=") for pair in given)}


def _answers(platform: str, questions: "Sequence[Question]", given: Mapping[str, str]) -> dict[str, str]:
    """What is known of every key: given, from the environment, or asked."""
    secrets = {question.key for question in questions if question.secret}
    for key in given:
        if key in secrets:
            raise ConfigError(f"--set {key}", f"a secret on a command line can be read; set {_variable(platform, key)}")
    answers = dict(given)
    for question in questions:
        if question.key in answers:
            continue
        variable = _variable(platform, question.key)
        value = os.environ.get(variable, "") if question.secret else ""
        if not value and sys.stdin.isatty():
            default = "" if question.optional else None
            secret = question.secret
            value = typer.prompt(question.text, default=default, show_default=False, hide_input=secret, err=True)
        if not value and not question.optional:
            way = f"set the environment's {variable}" if question.secret else f"give --set {question.key}=…"
            raise ConfigError(question.key, f"is needed ({question.text}): {way}")
        if value:
            answers[question.key] = value.strip()
    return answers


def _variable(platform: str, key: str) -> str:
    return f"{platform}_{key}".upper()


def _block(platform: str, name: str, questions: "Sequence[Question]", answers: Mapping[str, str]) -> str:
    secrets = {question.key for question in questions if question.secret}
    keys = [
        f"{key} = {_quoted('${' + _variable(platform, key) + '}' if key in secrets else value)}"
        for key, value in answers.items()
    ]
    return BLOCK.format(type=_quoted(platform), name=_quoted(name), keys="\n".join(keys))


def _write(file: Path, block: str, *, yes: bool) -> None:
    """Writes a new file, or adds to one; what cannot be added is printed."""
    try:
        old = file.read_text("utf-8")
    except FileNotFoundError:
        old = None
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(str(file), f"cannot be read: {problem}") from problem
    if old is None:
        _check(file, block + ACTIONS)
        file.write_text(f"# The settings of chat-moderator; unset keys have their defaults.\n{block}{ACTIONS}", "utf-8")
        show(f"{file} is written")
        return
    table = _check(file, old)
    added = block if "actions" in table.get("policy", {}) else block + ACTIONS
    try:
        _check(file, f"{old}\n{added}")
    except ConfigError as problem:
        show(added)
        raise ConfigError(str(file), f"the block above cannot be added: {problem.problem}") from problem
    if not yes and not (sys.stdin.isatty() and typer.confirm(f"Add the connection to {file}?", err=True)):
        show(added)
        hint(f"{file} is as it was; the block above can be added to it, or run this again with --yes")
        return
    with file.open("a", encoding="utf-8") as text:
        text.write(added if old.endswith("\n") or not old else f"\n{added}")
    show(f"the connection is added to {file}")


def _check(file: Path, text: str) -> dict[str, Any]:
    """The table of a text that is to become the settings.

    Raises:
        ConfigError: it is not TOML, or two connections have one name.
    """
    import tomllib  # noqa: PLC0415

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(str(file), f"is not TOML: {problem}") from problem
    sources = table.get("sources", [])
    names = [each.get("name") or each.get("type") for each in sources if isinstance(each, dict)]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError("--name", f"there is a connection {twice.pop()!r} already; give this one another with --name")
    return table


def _say_what_is_left(platform: str, questions: "Sequence[Question]", missing: "Sequence[Shortcoming]") -> None:
    from chat_moderator import registry  # noqa: PLC0415
    from chat_moderator.errors import MissingExtraError  # noqa: PLC0415

    for number, each in enumerate(missing, start=1):
        show(f"{number}. {each.problem}", f"   {each.cure}")
    needed = [_variable(platform, question.key) for question in questions if question.secret and not question.optional]
    unset = [variable for variable in needed if variable not in os.environ]
    if unset:
        show(f"before you start it: put {' and '.join(unset)} into its environment")
    try:
        registry.load("source", platform, path="PLATFORM")
    except MissingExtraError as problem:
        show(str(problem))
    show("nothing is missing: chat-moderator serve" if not missing else "then: chat-moderator serve")


def _quoted(text: str) -> str:
    """A TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
