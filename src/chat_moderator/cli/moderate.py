"""`moderate`: verdicts on texts, here and now; needs no server and keeps nothing."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chat_moderator.cli.options import ConfigOption, JsonOption, read_settings
from chat_moderator.cli.output import note, show, shown, table, verdict, write_lines
from chat_moderator.errors import ConfigError
from chat_moderator.printable import printable
from chat_moderator.types import Message, Verdict

if TYPE_CHECKING:
    from chat_moderator.moderator.moderator import Moderator
    from chat_moderator.types import Decision

FLAGGED = 1


def moderate(
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", show_default=False, help="What to judge; without it, standard input."),
    ] = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help='Standard input holds an object a line: {"id", "text", ...}.')
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Judge a text, or the lines that come in.

    No server is needed and nothing is kept.

    Exits with 0 when all is clean, 1 when something is flagged, 2 after an error.

    With --json, lines are answered as they arrive, in their order. A line that cannot be read ends the command with
    the line's number: nothing that arrived together with it is answered, what was answered before stays. A table is
    printed at the end or not at all.
    """
    if text is not None and jsonl:
        raise ConfigError("--jsonl", "reads standard input; leave out the text")
    moderator = build_moderator(config)
    flagged = False
    rows: list[tuple[Message, Decision]] = []
    for messages in _standard_input(jsonl=jsonl) if text is None else _argument(text):
        decisions = moderator.decide(messages)
        flagged = flagged or any(decision.verdict is not Verdict.ALLOW for decision in decisions)
        if json:
            from chat_moderator.cli.answers import answer  # noqa: PLC0415

            write_lines(map(answer, messages, decisions))
        else:
            rows += zip(messages, decisions, strict=True)
    if rows:
        _show(rows)
    raise typer.Exit(FLAGGED if flagged else 0)


def build_moderator(config: Path | None) -> "Moderator":
    """The moderator that the settings describe, without a store.

    Raises:
        ConfigError: something in the settings is wrong.
    """
    from chat_moderator.app import build_cascade, build_policy, build_recent  # noqa: PLC0415
    from chat_moderator.moderator.moderator import Moderator  # noqa: PLC0415

    settings = read_settings(config)
    return Moderator(build_cascade(settings), build_policy(settings), recent=build_recent(settings))


def _argument(text: str) -> Iterable[list[Message]]:
    from chat_moderator.cli.reading import checked  # noqa: PLC0415

    return ([checked(Message("1", text), "TEXT")],)


def _standard_input(*, jsonl: bool) -> Iterator[list[Message]]:
    from chat_moderator.cli import reading  # noqa: PLC0415

    if sys.stdin is None:
        raise ConfigError("", "standard input is closed: give a text, or lines")
    if sys.stdin.isatty():
        note("reading lines from the keyboard; Ctrl-D ends")
    parse = reading.jsonl if jsonl else reading.plain
    return reading.batches(sys.stdin.buffer, parse)


def _show(rows: Sequence[tuple[Message, "Decision"]]) -> None:
    made = table("id", "action", "score", "label", "rule", "text")
    for message, decision in rows:
        made.add_row(
            printable(message.id),
            verdict(decision.verdict.value),
            f"{decision.score:.2f}",
            decision.label,
            printable(decision.rule),
            shown(message.text, [span for span in decision.assessment.spans if span.label == decision.label]),
        )
    show(made)
    if len(rows) == 1:
        scores = rows[0][1].assessment.scores
        by_score = sorted(scores.items(), key=lambda item: -item[1])
        show(", ".join(f"{label} {score:.2f}" for label, score in by_score))
