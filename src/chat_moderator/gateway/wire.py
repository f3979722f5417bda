"""What goes over the wire: messages as clients send them, decisions as they get them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Meta

from chat_moderator.gateway.limits import BATCH, Identifier, Name, Text
from chat_moderator.types import NOBODY, Author, Message, Outcome, Record, Span, Struct, Verdict

Moment = Annotated[datetime, Meta(tz=True)]


class AuthorBody(Struct, omit_defaults=True, frozen=True):
    """Who wrote a message, as far as the platform tells."""

    id: Name = ""
    name: Name = ""
    roles: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()
    joined_at: Moment | None = None


class MessageBody(Struct, omit_defaults=True, frozen=True):
    """One revision of one chat message; `client` is the caller's key and cannot be named here."""

    id: Identifier
    text: Text
    platform: Name = "api"
    community: Name = ""
    channel: Name = ""
    author: AuthorBody | None = None
    sent_at: Moment | None = None
    revision: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    reply_to: Name | None = None
    language: Name | None = None


class MessagesBody(Struct, frozen=True):
    """Messages, in order; one that is wrong refuses all."""

    messages: Annotated[list[MessageBody], Meta(min_length=1, max_length=BATCH)]


class BriefMessage(Struct, frozen=True):
    """A text, and an id that only correlates."""

    id: Identifier
    text: Text


class BriefMessages(Struct, frozen=True):
    """Texts, in order; one that is wrong refuses all."""

    messages: Annotated[list[BriefMessage], Meta(min_length=1, max_length=BATCH)]


class BriefResult(Struct, frozen=True):
    """What was decided about a text: `action` is the verdict, `scores` are from 0 to 1."""

    id: str
    action: Verdict
    score: float
    scores: dict[str, float]
    rule: str
    model: str
    policy: str


class BriefResults(Struct, omit_defaults=True, frozen=True):
    """One result a message, in the same order; `experimental` are labels that had too little data to be trusted."""

    results: list[BriefResult]
    experimental: tuple[str, ...] = ()


class Result(Struct, frozen=True):
    """What was decided about a message, whole.

    `spans` are `[start, end, label]` in code points of the text; `hints` may only ever have held it; `seq` is its
    place in the decision feed; `earlier` are the author's messages just before that were read with it; `outcomes` tell
    what came of the actions so far.
    """

    id: str
    action: Verdict
    score: float
    scores: dict[str, float]
    rule: str
    label: str
    reply: str
    actions: tuple[str, ...]
    spans: tuple[Span, ...]
    hints: dict[str, float]
    tier: str
    degraded: bool
    earlier: tuple[str, ...]
    model: str
    policy: str
    client: str
    platform: str
    community: str
    channel: str
    revision: int
    received_at: datetime
    decided_at: datetime
    attempts: int
    seq: int
    outcomes: tuple[Outcome, ...]


class Results(Struct, omit_defaults=True, frozen=True):
    """One result a message, in the same order; `experimental` are labels that had too little data to be trusted."""

    results: list[Result]
    experimental: tuple[str, ...] = ()


def message_of(body: MessageBody, client: str) -> Message:
    """The message as the domain knows it."""
    author = body.author
    return Message(
        body.id,
        body.text,
        client,
        body.platform,
        body.community,
        body.channel,
        NOBODY if author is None else Author(author.id, author.name, author.roles, author.joined_at),
        body.sent_at,
        body.revision,
        body.reply_to,
        body.language,
    )


def messages_of(bodies: Sequence[MessageBody], client: str) -> list[Message]:
    """Messages as the domain knows them."""
    return [message_of(body, client) for body in bodies]


def brief_result(record: Record) -> BriefResult:
    """A record in brief."""
    decision = record.decision
    assessment = decision.assessment
    return BriefResult(
        record.message.id,
        decision.verdict,
        decision.score,
        assessment.scores,
        decision.rule,
        assessment.model,
        decision.policy,
    )


def result_of(record: Record) -> Result:
    """A record without the message's text."""
    message, decision = record.message, record.decision
    assessment = decision.assessment
    return Result(
        id=message.id,
        action=decision.verdict,
        score=decision.score,
        scores=assessment.scores,
        rule=decision.rule,
        label=decision.label,
        reply=decision.reply,
        actions=decision.actions,
        spans=assessment.spans,
        hints=assessment.hints,
        tier=assessment.tier,
        degraded=assessment.degraded,
        earlier=assessment.earlier,
        model=assessment.model,
        policy=decision.policy,
        client=message.client,
        platform=message.platform,
        community=message.community,
        channel=message.channel,
        revision=message.revision,
        received_at=record.received_at,
        decided_at=record.decided_at,
        attempts=record.attempts,
        seq=record.seq,
        outcomes=record.outcomes,
    )
