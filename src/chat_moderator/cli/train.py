"""`train`: adapts the shipped classifiers to a community's own labels."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from chat_moderator.cli.options import DATA, DataOption
from chat_moderator.cli.output import console, hint, show, table
from chat_moderator.errors import ConfigError, PermanentError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from chat_moderator.store.database import Store
    from chat_moderator.tuning.rows import Row
    from chat_moderator.tuning.tune import Tuned

REPORT: Final = "tuning.json"
_PAGE: Final = 1000


def train(  # noqa: PLR0917 -- a command line
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help='Labelled messages, an object a line: {"text", "labels": {"toxicity": 1, ...}} or '
            '{"text", "verdict": "allow"} or "block". May be given again.',
        ),
    ] = None,
    reviews: Annotated[
        bool, typer.Option("--reviews", help="Also learn from what moderators approved and denied.")
    ] = False,
    suggestions: Annotated[
        bool, typer.Option("--suggestions", help="Also learn from what clients sent to comments:suggestscore.")
    ] = False,
    data_dir: DataOption = DATA,
    output: Annotated[
        Path, typer.Option(metavar="DIRECTORY", help="Where the model's folder is made, named for its version.")
    ] = Path("models"),
    classifier: Annotated[
        list[str] | None,
        typer.Option(metavar="encoder|ngram", show_default=False, help="Only this one; both where not given."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another one holds other messages out.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Write a classifier although it got worse.")] = False,
) -> None:
    """Adapt the shipped classifiers to labelled messages.

    Learns from seven tenths of the messages and measures on the others, before and after, with 95% bootstrap
    intervals. Writes a folder for `[classifiers.encoder] model` and `[classifiers.ngram] model`. A classifier that got
    worse is not written.
    """
    from chat_moderator.tuning import tune  # noqa: PLC0415 -- every command would pay for it
    from chat_moderator.tuning.rows import latest, split  # noqa: PLC0415

    if unknown := [name for name in classifier or () if name not in tune.TUNABLE]:
        raise ConfigError("--classifier", f"{unknown[0]!r} is none of {', '.join(tune.TUNABLE)}")
    names = [name for name in tune.TUNABLE if not classifier or name in classifier]
    rows = latest(_gather(data or [], data_dir, reviews=reviews, suggestions=suggestions), tune.MOST)
    tune.check(rows)
    learnt, measured = split(rows, tune.HELD_OUT, seed)
    _introduce(rows, learnt, measured)
    try:
        output.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".tuning-", dir=output))
    except OSError as problem:
        raise ConfigError("--output", f"{output} cannot be written: {problem.strerror}") from problem
    try:
        with _progress(console(error=True), names, tune.TICKS) as tick:
            results = [tune.tune(name, learnt, measured, staged / name, seed=seed, tick=tick) for name in names]
        show(*(_measures(each) for each in results))
        kept = [each for each in results if force or not each.worse]
        if not kept:
            raise PermanentError(
                "nothing was written, for the held-out messages are not judged better: more labels help, "
                "--force writes it all the same"
            )
        folder = _put(staged, kept, results, output)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    _conclude(folder, kept, results)


def _gather(files: Sequence[Path], data_dir: Path, *, reviews: bool, suggestions: bool) -> "list[Row]":
    from chat_moderator.tuning import rows  # noqa: PLC0415

    if not (files or reviews or suggestions):
        raise ConfigError("--data", "name a file of labelled messages, or say --reviews or --suggestions")
    # What a file says goes last: it was labelled with this in mind.
    stored: list[Row] = []
    if reviews or suggestions:
        from chat_moderator.cli.stores import shared_by, use_store  # noqa: PLC0415

        stored = use_store(
            data_dir,
            lambda store: _stored(store, reviews=reviews, suggestions=suggestions),
            shared=shared_by(None),
        )
    return stored + [row for file in files for row in rows.read(file)]


async def _stored(store: "Store", *, reviews: bool, suggestions: bool) -> "list[Row]":
    from chat_moderator.store.labels import Label, ListLabels  # noqa: PLC0415
    from chat_moderator.store.reviews import ListReviews, Review, ReviewState  # noqa: PLC0415
    from chat_moderator.tuning import rows  # noqa: PLC0415

    resolved: list[Review] = []
    for state in (ReviewState.APPROVED, ReviewState.DENIED) if reviews else ():
        after = 0
        while some := await store.ask(ListReviews(state=state, after=after, limit=_PAGE)):
            resolved += some
            after = some[-1].id
    sent: list[Label] = []
    while suggestions and (more := await store.ask(ListLabels(after=sent[-1].id if sent else 0, limit=_PAGE))):
        sent += more
    resolved.sort(key=lambda review: review.id)
    return rows.suggested(sent) + rows.reviewed(resolved)


def _introduce(rows: "Sequence[Row]", learnt: "Sequence[Row]", measured: "Sequence[Row]") -> None:
    bad, fine = (sum(row.bad is kind for row in rows) for kind in (True, False))
    show(
        f"{len(rows):,} labelled messages, {bad:,} that should go and {fine:,} that should stay: "
        f"{len(learnt):,} to learn from, {len(measured):,} to measure on"
    )


@contextlib.contextmanager
def _progress(screen: "Console", names: Sequence[str], ticks: int) -> Iterator[Callable[[], None]]:
    """A bar, where somebody watches."""
    if not screen.is_terminal:
        yield lambda: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(f"tuning {' and '.join(names)}", total=ticks * len(names))
        yield lambda: bar.advance(task)


def _measures(tuned: "Tuned") -> "Table":
    made = table("", "before", "after", "change", "messages", title=f"{tuned.base} → {tuned.version}")
    for each in tuned.measures:
        fault = " (lower is better)" if each.fault else ""
        rise = each.change
        changed = f"{rise.value:+.3f} [{rise.low:+.3f}, {rise.high:+.3f}]"
        made.add_row(each.name + fault, str(each.before), str(each.after), changed, f"{each.before.texts:,}")
    return made


def _put(staged: Path, kept: "Sequence[Tuned]", results: "Sequence[Tuned]", output: Path) -> Path:
    """Puts the files of what is kept, and the report, into a folder that is named for their versions."""
    import msgspec  # noqa: PLC0415

    digest = hashlib.sha256("+".join(each.version for each in kept).encode()).hexdigest()
    target = output / f"tuned-{digest[:12]}"
    made = staged / "made"
    made.mkdir()
    for each in kept:
        for file in (staged / each.name).iterdir():
            file.rename(made / file.name)
    report = msgspec.json.format(msgspec.json.encode(results), indent=2)
    (made / REPORT).write_bytes(report + b"\n")
    try:
        if target.exists():
            shutil.rmtree(target)  # the same weights, made before
        made.rename(target)
    except OSError as problem:
        raise ConfigError("--output", f"{target} cannot be written: {problem.strerror}") from problem
    return target


def _conclude(folder: Path, kept: "Sequence[Tuned]", results: "Sequence[Tuned]") -> None:
    from chat_moderator.moderator.cascade import HOW_TO_CALIBRATE  # noqa: PLC0415

    for each in results:
        if each.worse:
            written = "and was written, as you said" if each in kept else "and was not written"
            hint(f"{each.name} did not get better on the held-out messages {written}")
    # A JSON string is a TOML string.
    place = json.dumps(str(folder.resolve()))
    show(*(f"[classifiers.{each.name}]\nmodel = {place}" for each in kept))
    show(
        "Early exits of the cascade hold for one version of each classifier. Calibrate them for this one:",
        HOW_TO_CALIBRATE,
    )
