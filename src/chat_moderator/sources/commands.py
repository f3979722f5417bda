"""What moderators write to answer an alert, where a platform has no buttons."""

import re
from typing import Final

_COMMAND: Final = re.compile(r"\s*!(undo|confirm)\s+([0-9]{1,18})\s*", re.IGNORECASE)


def commanded(text: str) -> tuple[int, bool] | None:
    """The record and whether it was approved; None for what is no command."""
    found = _COMMAND.fullmatch(text)
    return (int(found[2]), found[1].lower() == "undo") if found else None
