"""Values for tests: every field can be given, none has to be."""

import itertools
from typing import Any

import msgspec

from chat_moderator.types import Assessment, Author, Decision, Message, Record, Verdict, now

_numbers = itertools.count(1)


def make_message(text: str = "good game everyone", **fields: Any) -> Message:
    """A message with an id of its own."""
    fields.setdefault("id", f"m{next(_numbers)}")
    fields.setdefault("client", "test")
    fields.setdefault("author", Author("u1", "ada"))
    return Message(text=text, **fields)


def make_record(message: Message | None = None, verdict: Verdict = Verdict.ALLOW, **fields: Any) -> Record:
    """A record of a message; fields of its decision may be given."""
    decision = Decision(
        verdict=verdict,
        rule="test",
        score=0.0 if verdict is Verdict.ALLOW else 0.9,
        assessment=Assessment({"toxicity": 0.0 if verdict is Verdict.ALLOW else 0.9}, "test", "test-1"),
        policy="test-1",
    )
    decision = msgspec.structs.replace(decision, **fields)
    return Record(message or make_message(), decision, now(), now())
