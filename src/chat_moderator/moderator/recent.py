"""What an author wrote in a channel a moment ago, so that a word or a sentence split over messages is read whole."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from chat_moderator.types import Decision, Message, Record, Span, Verdict

WITHIN: Final = timedelta(seconds=30)
"""How long a message is remembered."""

_AUTHORS: Final = 100_000
_MESSAGES: Final = 8
LONGEST: Final = 32
"""Characters of a message that may be a part; what is split is short, and most chat is not read twice."""

Place = tuple[str, str, str, str, str]
"""(client, platform, community, channel, author)."""


class _Part(NamedTuple):
    key: tuple[str, str, str, str, int]
    text: str
    at: datetime


class Joined(NamedTuple):
    """A message read together with earlier ones of its author: one text in which it begins at `start`."""

    text: str
    start: int
    earlier: tuple[str, ...]

    def decide(self, message: Message, decision: Decision) -> Decision:
        """The decision about the whole, as one about the message: spans in it alone, and what was read with it."""
        end = self.start + len(message.text)
        spans = tuple(
            Span(max(span.start, self.start) - self.start, min(span.end, end) - self.start, span.label)
            for span in decision.assessment.spans
            if span.end > self.start and span.start < end
        )
        assessment = msgspec.structs.replace(decision.assessment, spans=spans, earlier=self.earlier)
        return msgspec.structs.replace(decision, assessment=assessment)


class Recent:
    """The short messages of each author in each channel that were allowed; bounded, the least recent author goes first.

    Args:
        within: how long a message is remembered; nothing is, if that is zero.
        authors: how many authors.

    Attributes:
        within: as given.
    """

    def __init__(self, within: timedelta = WITHIN, *, authors: int = _AUTHORS) -> None:
        self.within = within
        self._authors = authors
        self._parts: OrderedDict[Place, list[_Part]] = OrderedDict()

    def may_join(self, message: Message) -> bool:
        """Whether the message may be a part of something: short, by a known author, in a known channel."""
        return bool(self.within and message.author.id and message.channel and 0 < len(message.text.strip()) <= LONGEST)

    def joined(self, message: Message, at: datetime) -> Joined | None:
        """The message with those before it, if there are any; `at` counts where it does not say when it was sent."""
        parts = self._before(message, message.sent_at or at)
        if not parts:
            return None
        before = " ".join(part.text for part in parts)
        return Joined(f"{before} {message.text}", len(before) + 1, tuple(part.key[3] for part in parts))

    def keep(self, message: Message, at: datetime) -> None:
        """Remembers a message that was allowed."""
        sent_at = message.sent_at or at
        place = place_of(message)
        parts = self._before(message, sent_at)
        self._parts[place] = [*parts, _Part(message.key, message.text.strip(), sent_at)][-_MESSAGES:]
        self._parts.move_to_end(place)
        while len(self._parts) > self._authors:
            self._parts.popitem(last=False)

    def forget(self, message: Message) -> None:
        """Forgets what its author wrote there: it was acted on."""
        self._parts.pop(place_of(message), None)

    def recall(self, records: Sequence[Record]) -> None:
        """Remembers what was decided before a restart, oldest first."""
        for record in records:
            if not self.may_join(record.message):
                continue
            if record.decision.verdict is Verdict.ALLOW:
                self.keep(record.message, record.received_at)
            else:
                self.forget(record.message)

    def _before(self, message: Message, at: datetime) -> list[_Part]:
        """What the author wrote shortly before; an earlier revision, or the same message judged again, is not that."""
        parts = self._parts.get(place_of(message), [])
        own = next((index for index, part in enumerate(parts) if part.key[:4] == message.key[:4]), len(parts))
        return [part for part in parts[:own] if abs(at - part.at) <= self.within]


def place_of(message: Message) -> Place:
    """The author in the channel."""
    return message.client, message.platform, message.community, message.channel, message.author.id
