"""What a rule can ask about a message, by name. Each fact is worked out only for rules that name it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from chat_moderator.types import LABELS, Assessment, Author, Message


class Case(NamedTuple):
    """What facts are drawn from; `at` is the current time, in UTC."""

    message: Message
    assessment: Assessment
    at: datetime


Fact = Callable[[Case], Any]
"""The value of a fact: bool, int, float, str, list, or None where it is unknown."""

# Each pattern takes time linear in the text: no repetition is followed by what it may itself match.
_LINK: Final = re.compile(r"(?:https?://|www\.|\.[a-z]{2,24}/)\S*", re.IGNORECASE)
_MENTION: Final = re.compile(r"(?:(?<![\w@])@|<@[!&]?)\w")
_PICTOGRAPH: Final = "[\u231a\u231b\u23e9-\u23fa\u2600-\u27bf\u2b50\u2b55\U0001f000-\U0001faff]"
_EMOJI: Final = re.compile(
    r"<a?:\w{1,32}:\d{1,20}>"  # Discord's own
    "|[0-9#*]\ufe0f?\u20e3"
    "|[\U0001f1e6-\U0001f1ff]{2}"
    f"|{_PICTOGRAPH}[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]*(?:\u200d{_PICTOGRAPH}[\ufe0f\U0001f3fb-\U0001f3ff]*)*"
)
_UPPER: Final = bytes(range(ord("A"), ord("Z") + 1))
_LETTERS: Final = _UPPER + _UPPER.lower()


def _links(text: str) -> int:
    return len(_LINK.findall(text)) if "." in text or "://" in text else 0


def _mentions(text: str) -> int:
    return len(_MENTION.findall(text)) if "@" in text else 0


def _emojis(text: str) -> int:
    return 0 if text.isascii() and "<" not in text else len(_EMOJI.findall(text))


def _capitals(text: str) -> float:
    """Upper-case letters by letters that have a case, 0 to 1; 0 without such letters."""
    if text.isascii():
        raw = text.encode()
        letters = len(raw) - len(raw.translate(None, _LETTERS))
        upper = len(raw) - len(raw.translate(None, _UPPER))
    else:
        upper = sum(map(str.isupper, text))
        letters = upper + sum(map(str.islower, text))
    return upper / letters if letters else 0.0


def _age_days(author: Author, at: datetime) -> float | None:
    joined = author.joined_at
    if joined is None:
        return None
    if joined.tzinfo is None:
        joined = joined.replace(tzinfo=UTC)
    return max((at - joined).total_seconds(), 0.0) / 86_400.0


def _score(label: str) -> Fact:
    return lambda case: case.assessment.scores.get(label, 0.0)


def _hint(label: str) -> Fact:
    return lambda case: case.assessment.hints.get(label, 0.0)


FACTS: Final[MappingProxyType[str, MappingProxyType[str, Fact]]] = MappingProxyType(
    {
        "scores": MappingProxyType({label: _score(label) for label in LABELS}),
        "hints": MappingProxyType({label: _hint(label) for label in LABELS}),
        "text": MappingProxyType(
            {
                "original": lambda case: case.message.text,
                "length": lambda case: len(case.message.text),
                "words": lambda case: len(case.message.text.split()),
                "lines": lambda case: len(case.message.text.splitlines()),
                "links": lambda case: _links(case.message.text),
                "mentions": lambda case: _mentions(case.message.text),
                "emojis": lambda case: _emojis(case.message.text),
                "capitals": lambda case: _capitals(case.message.text),
            }
        ),
        "author": MappingProxyType(
            {
                "id": lambda case: case.message.author.id,
                "name": lambda case: case.message.author.name,
                "roles": lambda case: list(case.message.author.roles),
                "age_days": lambda case: _age_days(case.message.author, case.at),
            }
        ),
        "message": MappingProxyType(
            {
                "platform": lambda case: case.message.platform,
                "community": lambda case: case.message.community,
                "channel": lambda case: case.message.channel,
                "client": lambda case: case.message.client,
                "language": lambda case: case.message.language or "",
                "is_edit": lambda case: case.message.revision > 0,
                "is_reply": lambda case: case.message.reply_to is not None,
            }
        ),
        "model": MappingProxyType(
            {
                "tier": lambda case: case.assessment.tier,
                "degraded": lambda case: case.assessment.degraded,
            }
        ),
    }
)
"""Every fact by root and field, as rules name them: `text.links`."""

MAPS: Final[MappingProxyType[str, Fact]] = MappingProxyType(
    {
        "scores": lambda case: dict.fromkeys(LABELS, 0.0) | case.assessment.scores,
        "hints": lambda case: dict.fromkeys(LABELS, 0.0) | case.assessment.hints,
    }
)
"""The roots that may also be used as a whole, as a map from label to score."""

OPTIONAL: Final = frozenset({("author", "age_days")})
"""The facts that may be unknown; a rule asks `has(author.age_days)` first. Every other fact always has a value."""

_SAMPLE_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
SAMPLES: Final = (
    Case(
        Message(
            id="1",
            text="HELLO @moderator, see https://chat.example/rules \U0001f600\nand more",
            client="1",
            platform="discord",
            community="1",
            channel="1",
            author=Author(
                id="1",
                name="somebody",
                roles=("member", "helper", "editor"),
                joined_at=_SAMPLE_TIME - timedelta(days=30),
            ),
            sent_at=_SAMPLE_TIME,
            revision=1,
            reply_to="0",
            language="en",
        ),
        Assessment(scores=dict.fromkeys(LABELS, 0.5), tier="ngram", model="1", hints=dict.fromkeys(LABELS, 0.5)),
        _SAMPLE_TIME,
    ),
    Case(Message(id="1", text=""), Assessment(scores={}, tier="", model=""), _SAMPLE_TIME),
)
"""What every rule is tried on when it is loaded: a message with everything, and one without what is optional."""
