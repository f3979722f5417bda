"""Matrix's messages: what people read in one, alerts for moderators, and what a reaction to an alert says."""

import re
from html import unescape
from typing import Any, Final

from chat_moderator.types import Record, Verdict

LIMIT: Final = 4000
"""Characters of a quoted text; an event may have 65,536 bytes."""

MARK: Final = "chat_moderator"
_KEYS: Final = {Verdict.BLOCK: ("\N{LEFTWARDS ARROW WITH HOOK}\ufe0f", "\N{WHITE HEAVY CHECK MARK}")}
_HELD: Final = ("\N{WHITE HEAVY CHECK MARK}", "\N{CROSS MARK}")
_CAPTIONED: Final = frozenset({"m.image", "m.video", "m.audio", "m.file"})
_POLLS: Final = frozenset({"m.poll.start", "org.matrix.msc3381.poll.start"})
_QUOTED: Final = re.compile(r"<mx-reply>.*?</mx-reply>", re.DOTALL | re.IGNORECASE)
_BREAK: Final = re.compile(r"<(?:br|/p|/li|/h\d|/div)\b[^>]*>", re.IGNORECASE)
_TAG: Final = re.compile(r"<[^>]*>")
_FALLBACK: Final = re.compile(r"\A(?:> .*\n)+\n?")


def text_of(kind: str, content: dict[str, Any]) -> str:
    """All that people read in an event: the plain text, and the formatted one where it says something else."""
    if kind in _POLLS:
        return "\n".join(_texts(content))
    body, shown = _string(content, "body"), _string(content, "formatted_body")
    if content.get("msgtype") in _CAPTIONED and _string(content, "filename") in {"", body}:
        return ""
    if isinstance(content.get("m.relates_to"), dict) and "m.in_reply_to" in content["m.relates_to"]:
        body = _FALLBACK.sub("", body)
    formatted = unescape(_TAG.sub("", _BREAK.sub("\n", _QUOTED.sub("", shown)))).strip()
    if not formatted or _squeezed(formatted) == _squeezed(body):
        return body if body.strip() else ""
    # Markdown's marks are in the one and not in the other; both are judged, for one of them is what people see.
    return f"{body}\n{formatted}" if body.strip() else formatted


def alert_of(record: Record) -> dict[str, Any]:
    """The content of a message for the moderators' room; its mark says which record and which reactions."""
    message, decision = record.message, record.decision
    approve, deny = keys_of(decision.verdict)
    does = ("lets it through", "keeps it out") if decision.verdict is Verdict.HOLD else ("undoes", "confirms")
    head = (
        f"{decision.verdict}: {message.author.name} ({message.author.id}) in {message.channel}: "
        f"{decision.label or decision.rule} {decision.score:.2f}, rule: {decision.rule}, record {record.seq}"
    )
    quoted = "\n".join(f"> {line}" for line in message.text[:LIMIT].split("\n"))
    return {
        "msgtype": "m.text",
        "body": f"{head}\n{quoted}\n{approve} {does[0]}, {deny} {does[1]}",
        "m.mentions": {},
        MARK: {"record": record.seq, "approve": approve, "deny": deny},
    }


def keys_of(verdict: Verdict) -> tuple[str, str]:
    """The reactions that approve and that deny."""
    return _KEYS.get(verdict, _HELD if verdict is Verdict.HOLD else _KEYS[Verdict.BLOCK])


def reaction_to(event: str, key: str) -> dict[str, Any]:
    """The content of a reaction."""
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": key}}


def reacted(content: dict[str, Any]) -> tuple[str, str]:
    """The event that a reaction is to, and its key; empty where it is none."""
    relation = content.get("m.relates_to")
    if not isinstance(relation, dict) or relation.get("rel_type") != "m.annotation":
        return "", ""
    return _string(relation, "event_id"), _string(relation, "key")


def meant(alert: dict[str, Any], key: str) -> tuple[int, bool] | None:
    """The record of an alert and whether a reaction to it approves; None for what is no alert or says neither."""
    mark = alert.get(MARK)
    if not isinstance(mark, dict) or not isinstance(mark.get("record"), int):
        return None
    for word in ("approve", "deny"):
        if key and key.strip("\ufe0f") == _string(mark, word).strip("\ufe0f"):
            return mark["record"], word == "approve"
    return None


def notice(text: str, *, reply_to: str = "") -> dict[str, Any]:
    """The content of a message that pings nobody and that bots do not answer."""
    content: dict[str, Any] = {"msgtype": "m.notice", "body": text[: 4 * LIMIT], "m.mentions": {}}
    if reply_to:
        content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
    return content


def _string(table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    return value if isinstance(value, str) else ""


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _texts(value: Any) -> list[str]:
    """Every text of a poll, wherever the versions of its form put it, once."""
    if isinstance(value, dict):
        own = [text for key in ("body", "m.text", "org.matrix.msc1767.text") if (text := _string(value, key))]
        inner = [text for each in value.values() if isinstance(each, dict | list) for text in _texts(each)]
        return list(dict.fromkeys([*own, *inner]))
    return [text for each in value for text in _texts(each)] if isinstance(value, list) else []
