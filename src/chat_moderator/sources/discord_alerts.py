"""Alerts in Discord: what moderators see, their buttons, and what a press says."""

import re
from typing import Any, Final

from chat_moderator.types import Record, Verdict

LIMIT: Final = 2000
"""Characters of a message."""

NOBODY: Final[dict[str, list[str]]] = {"parse": []}
"""Allowed mentions: whatever a text holds, nobody is pinged."""

_PRESSED: Final = re.compile(r"chat-moderator:(\d{1,18}):(approve|deny)")
_LABELS: Final = {Verdict.BLOCK: ("Undo", "Confirm"), Verdict.HOLD: ("Let through", "Keep out")}
_BUTTON, _ROW, _GREY, _RED = 2, 1, 2, 4


def alert_of(record: Record) -> dict[str, Any]:
    """The message for the moderators' channel, with two buttons."""
    message, decision = record.message, record.decision
    who = f"{message.author.name} ({message.author.id})"
    why = f"{decision.label or decision.rule} {decision.score:.2f}, rule: {decision.rule}"
    where = f"<#{message.id.partition(':')[0] if ':' in message.id else message.channel}>"
    head = f"**{decision.verdict}** {escaped(who)} in {where}: {escaped(why)}, record {record.seq}"
    quoted = quote(message.text, LIMIT - len(head) - 100)
    approve, deny = _LABELS.get(decision.verdict, ("Undo", "Confirm"))
    buttons = [_button(record.seq, "approve", approve, _GREY), _button(record.seq, "deny", deny, _RED)]
    return {
        "content": f"{head}\n{quoted}",
        "allowed_mentions": NOBODY,
        "components": [{"type": _ROW, "components": buttons}],
    }


def answered(content: str, said: str) -> dict[str, Any]:
    """The alert after a moderator's word: what came of it, and no buttons any more."""
    return {
        "content": f"{content[: LIMIT - len(said) - 10]}\n**{escaped(said)}**",
        "allowed_mentions": NOBODY,
        "components": [],
    }


def pressed(custom_id: str) -> tuple[int, bool] | None:
    """The record and whether it was approved; None for what is no button of ours."""
    found = _PRESSED.fullmatch(custom_id)
    return (int(found[1]), found[2] == "approve") if found else None


def quote(text: str, most: int) -> str:
    """A text as a quotation that cannot break out of it, cut to `most` characters."""
    quoted = "\n".join(f"> {line}" for line in escaped(text).split("\n"))
    return quoted if len(quoted) <= most else quoted[: most - 2].rstrip("\\") + " …"


def escaped(text: str) -> str:
    """A text that shows as it was written: no formatting, no mention, no link."""
    return _MARKUP.sub(r"\\\g<0>", text.replace("\r", ""))


def _button(seq: int, word: str, label: str, style: int) -> dict[str, Any]:
    return {"type": _BUTTON, "style": style, "label": label, "custom_id": f"chat-moderator:{seq}:{word}"}


_MARKUP: Final = re.compile(r"[*_`~|>\\<@\[\]#]")
