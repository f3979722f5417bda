"""What a rule can ask about a message, by name. Each fact is worked out only for rules that name it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from chat_moderator.types import LABELS, Assessment, Author, Message

Fact = Callable[[Message, Assessment, datetime], Any]
"""The value of a fact for a message, its assessment and the current time: bool, int, float, str, list or None (unknown)."""

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
    return lambda message, assessment, at: assessment.scores.get(label, 0.0)


def _hint(label: str) -> Fact:
    return lambda message, assessment, at: assessment.hints.get(label, 0.0)


FACTS: Final[MappingProxyType[str, MappingProxyType[str, Fact]]] = MappingProxyType(
    {
        "scores": MappingProxyType({label: _score(label) for label in LABELS}),
        "hints": MappingProxyType({label: _hint(label) for label in LABELS}),
        "text": MappingProxyType(
            {
                "original": lambda message, assessment, at: message.text,
                "length": lambda message, assessment, at: len(message.text),
                "words": lambda message, assessment, at: len(message.text.split()),
                "lines": lambda message, assessment, at: len(message.text.splitlines()),
                "links": lambda message, assessment, at: _links(message.text),
                "mentions": lambda message, assessment, at: _mentions(message.text),
                "emojis": lambda message, assessment, at: _emojis(message.text),
                "capitals": lambda message, assessment, at: _capitals(message.text),
            }
        ),
        "author": MappingProxyType(
            {
                "id": lambda message, assessment, at: message.author.id,
                "name": lambda message, assessment, at: message.author.name,
                "roles": lambda message, assessment, at: list(message.author.roles),
                "age_days": lambda message, assessment, at: _age_days(message.author, at),
            }
        ),
        "message": MappingProxyType(
            {
                "platform": lambda message, assessment, at: message.platform,
                "community": lambda message, assessment, at: message.community,
                "channel": lambda message, assessment, at: message.channel,
                "client": lambda message, assessment, at: message.client,
                "language": lambda message, assessment, at: message.language or "",
                "is_edit": lambda message, assessment, at: message.revision > 0,
                "is_reply": lambda message, assessment, at: message.reply_to is not None,
            }
        ),
        "model": MappingProxyType(
            {
                "tier": lambda message, assessment, at: assessment.tier,
                "degraded": lambda message, assessment, at: assessment.degraded,
            }
        ),
    }
)
"""Every fact by root and field, as rules name them: `text.links`."""

MAPS: Final[MappingProxyType[str, Fact]] = MappingProxyType(
    {
        "scores": lambda message, assessment, at: dict.fromkeys(LABELS, 0.0) | assessment.scores,
        "hints": lambda message, assessment, at: dict.fromkeys(LABELS, 0.0) | assessment.hints,
    }
)
"""The roots that may also be used as a whole, as a map from label to score."""

OPTIONAL: Final = frozenset({("author", "age_days")})
"""The facts that may be unknown; a rule asks `has(author.age_days)` first. Every other fact always has a value."""

SAMPLE_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
SAMPLES: Final = (
    (
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
                joined_at=SAMPLE_TIME - timedelta(days=30),
            ),
            sent_at=SAMPLE_TIME,
            revision=1,
            reply_to="0",
            language="en",
        ),
        Assessment(scores=dict.fromkeys(LABELS, 0.5), tier="ngram", model="1", hints=dict.fromkeys(LABELS, 0.5)),
    ),
    (Message(id="1", text=""), Assessment(scores={}, tier="", model="")),
)
"""What every rule is tried on when it is loaded: a message with everything, and one without what is optional."""
