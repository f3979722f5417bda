"""`cost`: what judging costs at a rate, on each provider."""

import math
from pathlib import Path
from typing import Annotated

import typer

from chat_moderator.cli.options import JsonOption
from chat_moderator.cli.output import hint, show, table, write_lines
from chat_moderator.errors import ConfigError
from chat_moderator.printable import printable


def cost(  # noqa: PLR0917 -- typer reads the options of a command from its parameters
    rate: Annotated[float, typer.Option(min=1e-3, max=1e9, metavar="N", help="Messages a second.")],
    hours: Annotated[float, typer.Option(min=1e-3, max=1e6, metavar="N", help="For how long.")] = 1.0,
    per_core: Annotated[
        float | None,
        typer.Option(
            min=1e-3,
            max=1e9,
            metavar="N",
            show_default=False,
            help="Messages a second that one core judges, else as measured with the default classifier; "
            "python -m benchmarks.functions prints it for your machine.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="Messages a call.")] = 100,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="A table of prices of your own.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare what providers cost.

    Counts only what judges: no queue, no network, no database, no free tier, no discount. A core is given work for
    70 % of its time. Prices are of the day that is shown.
    """
    from chat_moderator.cli import pricing  # noqa: PLC0415

    for name, value in (("--rate", rate), ("--hours", hours), ("--per-core", per_core)):
        if value is not None and math.isnan(value):
            raise ConfigError(name, "a number is needed")
    known = pricing.read(prices)
    speed = known.per_core if per_core is None else per_core
    found = pricing.estimate(known, rate=rate, hours=hours, per_core=speed, batch=batch)
    if json:
        write_lines(found)
        return
    title = f"{rate:,g} messages a second for {hours:,g} h, {speed:,g} a second a core, prices of {known.as_of}"
    made = table("provider", "cores", "GB", "at once", "US$", "US$ a million messages", title=title)
    for each in found:
        made.add_row(
            printable(each.provider),
            f"{each.cores:g}",
            f"{each.memory:g}",
            f"{each.instances:,}" if each.allowed else f"{each.instances:,}: more than it allows",
            f"{each.dollars:,.4f}" if each.dollars < 1 else f"{each.dollars:,.2f}",
            f"{each.dollars_a_million:.4f}",
        )
    show(made)
    hint(f"nothing to pay while nothing is judged: {', '.join(pricing.idle(known))}")
