"""`replay`: judges a file of messages as fast as it can, and says what came of it."""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from chat_moderator.cli.moderate import build_moderator
from chat_moderator.cli.options import ConfigOption
from chat_moderator.cli.output import console, show, table
from chat_moderator.errors import ConfigError
from chat_moderator.printable import printable
from chat_moderator.types import Message, Verdict

if TYPE_CHECKING:
    from rich.console import Console

    from chat_moderator.moderator.moderator import Moderator
    from chat_moderator.types import Decision

STANDARD_OUTPUT: Final = Path("-")
CLIENT: Final = "replay"
SHOWN: Final = 10


class Tally:
    """What was decided, counted."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()

    def add(self, decisions: Sequence["Decision"]) -> None:
        """Counts a batch: all verdicts, and the rules and labels of what was flagged."""
        self.verdicts.update(decision.verdict.value for decision in decisions)
        flagged = [decision for decision in decisions if decision.verdict is not Verdict.ALLOW]
        self.rules.update(decision.rule for decision in flagged)
        self.labels.update(decision.label for decision in flagged if decision.label)


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="A message as a JSON object a line.")],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Decisions, as `moderate --json` writes them; - is standard output. "
            "Without it, NAME.decisions.jsonl beside NAME.jsonl.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="DIRECTORY",
            show_default=False,
            help="Also records the decisions in the audit there; what is held is then to be reviewed.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Judge a file of messages.

    It is judged in this process, with progress, rate and a summary; no action is performed. A line that cannot be
    read ends the command with the line's number, and no file of decisions is written.

    Exits with 0 whatever was flagged, with 2 after an error.
    """
    import asyncio  # noqa: PLC0415

    target = output if output is not None else file.parent / f"{file.stem}.decisions.jsonl"
    if target.absolute() == file.absolute():
        raise ConfigError("--output", "is the file of messages itself; name another")
    screen = console(error=target == STANDARD_OUTPUT)
    moderator = build_moderator(config)
    started = time.perf_counter()
    tally = asyncio.run(_replay(moderator, file, target, data_dir, config, screen))
    _summarise(tally, time.perf_counter() - started, target)


async def _replay(  # noqa: PLR0917 -- what the command was given
    moderator: "Moderator", file: Path, target: Path, data_dir: Path | None, config: Path | None, screen: "Console"
) -> Tally:
    import msgspec  # noqa: PLC0415

    from chat_moderator.cli import reading  # noqa: PLC0415
    from chat_moderator.cli.answers import answer  # noqa: PLC0415
    from chat_moderator.cli.stores import open_store, shared_by  # noqa: PLC0415
    from chat_moderator.moderator.moderator import recorded  # noqa: PLC0415
    from chat_moderator.store.stored_audit import StoredAudit  # noqa: PLC0415
    from chat_moderator.types import now  # noqa: PLC0415

    tally, encoder = Tally(), msgspec.json.Encoder()
    async with contextlib.AsyncExitStack() as stack:
        source = stack.enter_context(_opened(file))
        store = None
        if data_dir is not None:
            store = await stack.enter_async_context(open_store(data_dir, create=True, shared=shared_by(config)))
        lines = stack.enter_context(_written(target))
        advanced = stack.enter_context(_progress(screen, source, file))
        for messages in reading.batches(source, reading.jsonl):
            at = now()
            decisions = moderator.decide(messages)
            lines.write(encoder.encode_lines(list(map(answer, messages, decisions))))
            if store is not None:
                owned = [_owned(message) for message in messages]
                records = recorded(owned, decisions, received_at=[at] * len(owned), decided_at=now())
                await StoredAudit(store).append(records)
            tally.add(decisions)
            advanced()
    return tally


def _owned(message: Message) -> Message:
    import msgspec  # noqa: PLC0415

    return message if message.client else msgspec.structs.replace(message, client=CLIENT)


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as problem:
        raise ConfigError(str(file), f"cannot be read: {problem.strerror}") from problem


@contextlib.contextmanager
def _written(target: Path) -> Iterator[BinaryIO]:
    """The file of decisions, which takes its name only when it is complete."""
    if target == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    staged = target.with_name(f"{target.name}.part")
    try:
        lines = staged.open("wb")
    except OSError as problem:
        raise ConfigError(
            str(target), f"cannot be written: {problem.strerror}; name another with --output"
        ) from problem
    try:
        with lines:
            yield lines
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(screen: "Console", source: BinaryIO, file: Path) -> Iterator[Callable[[], None]]:
    """A bar of the bytes read, where somebody watches."""
    if not screen.is_terminal:
        yield lambda: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    size = file.stat().st_size or None
    with Progress(
        TextColumn("judging"), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=screen, transient=True
    ) as bar:
        task = bar.add_task("", total=size)
        yield lambda: bar.update(task, completed=source.tell()) if size is not None else None


def _summarise(tally: Tally, seconds: float, target: Path) -> None:
    total = tally.verdicts.total()
    made = table("", "", "messages", "share")
    counted = (
        ("verdict", [(verdict.value, tally.verdicts[verdict.value]) for verdict in Verdict]),
        ("rule", tally.rules.most_common(SHOWN)),
        ("label", tally.labels.most_common(SHOWN)),
    )
    for kind, counts in counted:
        for name, count in counts:
            made.add_row(kind, printable(name), f"{count:,}", f"{count / total:.1%}" if total else "")
        made.add_section()
    rate = f"{total:,} messages in {seconds:.1f} s, {total / max(seconds, 1e-9):,.0f} a second"
    if target == STANDARD_OUTPUT:
        show(rate, made, error=True)
    else:
        show(rate, made, f"decisions in {printable(str(target))}")
