"""`doctor`: what is installed, how things stand, and how to mend what is wrong."""

from typing import TYPE_CHECKING, Final

import typer

from chat_moderator.cli.options import DATA, ConfigOption, DataOption, JsonOption, settings_file
from chat_moderator.cli.output import show, table, write_lines
from chat_moderator.printable import printable

if TYPE_CHECKING:
    from chat_moderator.cli.checkup import Finding

TO_FIX: Final = 1


def doctor(data_dir: DataOption = DATA, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Say how things stand and how to mend them.

    Shows versions, settings, model, queue and whose the data is, and beside each problem what to do.
    Exits with 0 when all is well, 1 when there is something to fix.
    """
    from chat_moderator.cli.checkup import check  # noqa: PLC0415

    findings = check(data_dir, settings_file(config))
    if json:
        write_lines(findings)
    else:
        _show(findings)
    raise typer.Exit(TO_FIX if any(finding.problem for finding in findings) else 0)


def _show(findings: "list[Finding]") -> None:
    made = table("", "", "what to do")
    made.show_header = any(finding.cure for finding in findings)
    for finding in findings:
        value = f"{finding.value}: {finding.problem}" if finding.problem else finding.value
        style = "yellow" if finding.problem else ""
        made.add_row(finding.name, printable(value), printable(finding.cure), style=style)
    count = sum(bool(finding.problem) for finding in findings)
    show(made, f"{count} to fix" if count else "all is well")
