"""The program: its commands, and how every way of going wrong ends: one line on standard error and an exit code."""

import os
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from chat_moderator.cli import (
    backup,
    compare,
    cost,
    dead_letters,
    doctor,
    erase,
    evaluate,
    init,
    keys,
    labels,
    moderate,
    parity,
    replay,
    restore,
    reviews,
    serve,
    train,
    work,
)
from chat_moderator.cli.output import complain, silence
from chat_moderator.errors import ChatModeratorError

FAILED: Final = 2
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141
"""What a shell reports for a program that a closed pipe ended."""

TRACEBACK: Final = "CHAT_MODERATOR_TRACEBACK"


class Program(TyperGroup):
    """Runs a command; exits with 2 after an error, 130 when interrupted, quietly when nobody reads the output."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuses bytes that are not UTF-8 before a command sees them."""
        for number, argument in enumerate(args, start=1):
            if not _encodable(argument):
                raise typer.BadParameter(f"argument {number} is not valid UTF-8", ctx=ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was asked for."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except ChatModeratorError as problem:
            complain(str(problem))
            raise typer.Exit(FAILED) from problem
        except KeyboardInterrupt as problem:
            raise typer.Exit(INTERRUPTED) from problem
        except BrokenPipeError as problem:
            silence()
            raise typer.Exit(NOBODY_READS) from problem
        except typer.Abort as problem:
            typer.echo(err=True)
            complain("not confirmed, nothing was changed")
            raise typer.Exit(FAILED) from problem
        except OSError as problem:
            complain(str(problem))
            raise typer.Exit(FAILED) from problem
        except Exception as problem:
            # Typer's own exceptions carry their exit code; all others are mistakes of this program.
            if hasattr(problem, "exit_code") or TRACEBACK in os.environ:
                raise
            complain(f"this is a bug: {type(problem).__name__}: {problem} ({TRACEBACK}=1 shows where)")
            raise typer.Exit(FAILED) from problem
        return result


def _encodable(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"chat-moderator {version('chat-moderator')}")
        raise typer.Exit


app = typer.Typer(
    name="chat-moderator",
    cls=Program,
    help="Real-time chat moderation: reads every message, scores it, acts, and keeps the audit.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Takes what comes before a command's name."""


app.command()(moderate.moderate)
app.command()(serve.serve)
app.command()(init.init)
app.command()(work.work)
app.command()(replay.replay)
app.add_typer(keys.app, name="keys")
app.add_typer(labels.app, name="labels")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(reviews.app, name="reviews")
app.command()(compare.compare)
app.command()(cost.cost)
app.command()(backup.backup)
app.command()(restore.restore)
app.command()(erase.erase)
app.command()(doctor.doctor)
app.command()(evaluate.evaluate)
app.command()(train.train)
app.command()(parity.parity)
