"""`evaluate`: how well the configured classifiers judge labelled texts, and whether the cascade keeps its promises."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chat_moderator.cli.options import ConfigOption, JsonOption, read_settings
from chat_moderator.cli.output import console, show, table, write_lines
from chat_moderator.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from chat_moderator.cli.labelled import Labelled
    from chat_moderator.config import CascadeSettings, Settings
    from chat_moderator.moderator.agreement import Agreement
    from chat_moderator.moderator.cascade import Cascade
    from chat_moderator.protocols import Policy

BROKEN = 1


def evaluate(  # noqa: PLR0917 -- a command line
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE",
            help='Texts, an object a line: {"text": "...", "labels": {"toxicity": 1}}; may be given again.',
        ),
    ],
    cascade: Annotated[
        bool, typer.Option("--cascade", help="Compare the cascade with its last tier alone; needs no labels.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="With --cascade: calibrate early exits on the texts, into this file.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Also draw how reliable the scores are, as HTML."),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Measure the classifiers on your own texts.

    With labels: how well each score tells texts apart, how much abuse is caught, how many fine texts are held or
    blocked under the policy in force, and how reliable the scores are. A text is abusive where a label that the policy
    acts on is 0.5 or more.

    With --cascade: which tier answers what share, how often early exits change the verdict and how much of what the
    last tier would act on they let through, with 95% upper bounds, and the speed of a core. Exits with 1 when a
    promise of the settings cannot be shown to be kept on these texts.

    With --cascade --write: chooses early exits for the configured classifiers. The texts must look like the chat they
    stand for, and a few hundred of them must be such that the last tier acts on them. Exits with 1 when no early exit
    keeps the promises; the file is written all the same, and under it everything goes to the last tier.
    """
    from chat_moderator.cli.labelled import read  # noqa: PLC0415

    if write is not None and not cascade:
        raise ConfigError("--write", "goes with --cascade")
    settings = read_settings(config)
    if cascade and len(settings.cascade.tiers) == 1:
        raise ConfigError("--cascade", "the settings name a single tier; [cascade] tiers must name two or more")
    labelled = read(data)
    kept = (
        _calibrate(settings, labelled, write)
        if write is not None
        else _measure(settings, labelled, plot, cascade=cascade, json=json)
    )
    if not kept:
        raise typer.Exit(BROKEN)


def _measure(settings: "Settings", labelled: "Labelled", plot: Path | None, *, cascade: bool, json: bool) -> bool:
    """Measures and shows; whether the promises are kept."""
    from chat_moderator.cli.quality import Quality  # noqa: PLC0415
    from chat_moderator.moderator.agreement import BATCH, compare  # noqa: PLC0415
    from chat_moderator.types import Message, now  # noqa: PLC0415

    made, policy = _build(settings)
    texts, agreement = labelled.texts, None
    with _progress(len(texts) * (2 if cascade else 1)) as tick:
        if cascade:
            agreement, assessments = compare(made, policy, texts, tick)
        else:
            assessments = []
            for begin in range(0, len(texts), BATCH):
                assessments += made.assess(texts[begin : begin + BATCH], policy.limits)
                tick(BATCH)
    messages = [Message(str(index), text) for index, text in enumerate(texts)]
    verdicts = [decision.verdict for decision in policy.decide(messages, assessments, at=now())]
    acting = [label for label in made.labels if any(label in place for place in policy.limits)]
    quality = Quality(labelled.labels, assessments, verdicts, acting)
    if not (cascade or quality.labels):
        raise ConfigError("--data", "no text has a label; --cascade needs none")
    if plot is not None:
        from chat_moderator.cli.reliability import page  # noqa: PLC0415

        plot.write_text(page(f"{made.version} on {len(texts):,} texts", quality.plots()), "utf-8")
    if json:
        write_lines([{"model": made.version, "cascade": _plain(agreement), "quality": quality.plain()}])
    else:
        show(*([_agreement(agreement, settings.cascade)] if agreement else []), *quality.tables())
    return agreement is None or _kept(agreement, settings.cascade)


def _calibrate(settings: "Settings", labelled: "Labelled", path: Path) -> bool:
    """Writes what the texts came to and shows the exits that follow; whether there is one after every tier."""
    from chat_moderator.moderator.bounds import upper_bound  # noqa: PLC0415
    from chat_moderator.moderator.calibration import calibrate  # noqa: PLC0415
    from chat_moderator.moderator.exits import choose, write  # noqa: PLC0415

    made, policy = _build(settings)
    with _progress(len(labelled.texts)) as tick:
        sample = calibrate(made, labelled.texts, tick)
    write(path, sample)
    bounds = settings.cascade
    found = choose(sample, policy.limits, max_disagreement=bounds.max_disagreement, max_missed=bounds.max_missed)
    shown = table("exit after", "leave there", "missed of acted on", "95% bound", "of all", "95% bound")
    for name, one in zip(made.tiers, found, strict=False):
        if one is None:
            shown.add_row(name, "none: no threshold can be shown to keep the promises", "", "", "", "")
        else:
            shown.add_row(
                name,
                f"{one.below / one.texts:.1%}",
                f"{one.missed:,} of {one.acted:,}",
                f"{upper_bound(one.missed, one.acted):.2%}",
                f"{one.missed / one.texts:.2%}",
                f"{upper_bound(one.missed, one.texts):.2%}",
            )
    show(shown, f'{sample.texts:,} texts; to use it: [cascade] exits = "{path}"')
    return all(found)


def _build(settings: "Settings") -> "tuple[Cascade, Policy]":
    """Without hints, which hold whatever a tier says."""
    import msgspec  # noqa: PLC0415

    from chat_moderator.app import build_cascade, build_policy  # noqa: PLC0415

    bare = msgspec.structs.replace(settings, cascade=msgspec.structs.replace(settings.cascade, hints=()))
    return build_cascade(bare), build_policy(settings)


def _agreement(found: "Agreement", promised: "CascadeSettings") -> "Table":
    shown = table(f"{found.texts:,} texts", "share", "95% upper bound", "promised")
    for name, count in found.by_tier.items():
        shown.add_row(f"answered by {name}", f"{count / found.texts:.1%}", "", "")
    for name, (share, bound), most in (
        ("verdicts that differ from the last tier's", found.disagreement, promised.max_disagreement),
        (f"missed of the {found.acted:,} that it acts on", found.missed_share, promised.max_missed),
    ):
        shown.add_row(name, f"{share:.2%}", f"{bound:.2%}", f"<= {most:.2%}")
    shown.add_row("messages a second and core", f"{found.texts / max(found.seconds, 1e-9):,.0f}", "", "")
    if found.degraded:
        shown.add_row("not answered in time", f"{found.degraded:,}", "", "run it on a machine that is less busy")
    return shown


def _kept(found: "Agreement", promised: "CascadeSettings") -> bool:
    return (
        found.disagreement[1] <= promised.max_disagreement
        and found.missed_share[1] <= promised.max_missed
        and not found.degraded
    )


def _plain(found: "Agreement | None") -> dict[str, Any] | None:
    if found is None:
        return None
    import msgspec  # noqa: PLC0415

    return {
        **msgspec.to_builtins(found),
        "escalated": found.escalated,
        "disagreement": found.disagreement,
        "missed_share": found.missed_share,
    }


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar, where somebody watches."""
    screen = console(error=True)
    if not screen.is_terminal:
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
