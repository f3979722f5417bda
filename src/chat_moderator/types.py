"""The domain's types: what flows from a source to the sinks. Light: no numpy, no framework."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

LABELS: Final = (
    "toxicity",
    "severe_toxicity",
    "obscene",
    "threat",
    "insult",
    "identity_attack",
    "sexual_explicit",
    "self_harm",
    "spam",
)
"""Every label a bundled classifier answers, in the order of its score columns. Detoxify's names where it has them."""


class Verdict(StrEnum):
    """What becomes of a message, from softest to hardest."""

    ALLOW = "allow"
    HOLD = "hold"
    BLOCK = "block"

    @property
    def severity(self) -> int:
        """0 for allow, 1 for hold, 2 for block."""
        return _SEVERITY[self]


_SEVERITY: Final = {Verdict.ALLOW: 0, Verdict.HOLD: 1, Verdict.BLOCK: 2}


class Role(StrEnum):
    """What an API key may do; each role may do what the ones before it may."""

    CLIENT = "client"
    MODERATOR = "moderator"
    ADMIN = "admin"

    def may(self, needed: "Role") -> bool:
        """Whether this role covers `needed`."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Base of every value here: immutable, strict about unknown fields on the wire, and no work for the collector.

    Immutable values cannot form cycles, and there are a dozen of them a message.
    """


class Author(Struct, omit_defaults=True, frozen=True):
    """Who wrote a message, as far as the platform tells."""

    id: str = ""
    name: str = ""
    roles: tuple[str, ...] = ()
    joined_at: datetime | None = None


NOBODY: Final = Author()

HELD: Final = "held:"
"""How the id of a message begins that its platform holds back until our verdict: nobody sees it yet."""


class Message(Struct, omit_defaults=True, frozen=True):
    """One revision of one chat message. An edit has the same id and the next revision.

    `client` is who handed it in: the API key's id, or the name of a source connection. The five fields of `key`
    identify a revision for ever.
    """

    id: str
    text: str
    client: str = ""
    platform: str = "api"
    community: str = ""
    channel: str = ""
    author: Author = NOBODY
    sent_at: datetime | None = None
    revision: int = 0
    reply_to: str | None = None
    language: str | None = None

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """(client, platform, channel, id, revision)."""
        return self.client, self.platform, self.channel, self.id, self.revision


class Span(Struct, array_like=True, frozen=True):
    """Characters `start` to `end` (exclusive, code points of the ORIGINAL text) that speak for `label`."""

    start: int
    end: int
    label: str


class Assessment(Struct, omit_defaults=True, frozen=True):
    """What the classifiers say: scores by label, each 0 to 1, and where they saw it.

    `tier` is the classifier that answered, `model` its version. `hints` are scores of tiers that may only ever hold a
    message, such as a word list. `degraded` is set when a better tier should have answered and could not. `earlier` are
    the ids of the author's messages just before that were read with this one, where only together they say it.
    """

    scores: dict[str, float]
    tier: str
    model: str
    hints: dict[str, float] = {}
    spans: tuple[Span, ...] = ()
    degraded: bool = False
    earlier: tuple[str, ...] = ()


class Decision(Struct, omit_defaults=True, frozen=True):
    """What is to happen to a message, and which rule says so.

    `score` is the score that decided, or the highest one when nothing did; `label` is the label it belongs to.
    `actions` are registered action names. `reply` is the text for the author, in the author's language where the policy
    has it.
    """

    verdict: Verdict
    rule: str
    score: float
    assessment: Assessment
    policy: str
    label: str = ""
    actions: tuple[str, ...] = ()
    reply: str = ""


class OutcomeState(StrEnum):
    """How an action ended."""

    DONE = "done"
    FAILED = "failed"  # permanently, with the reason in detail
    UNCERTAIN = "uncertain"  # it may have happened; it is not repeated, lest it happen twice
    SKIPPED = "skipped"  # no longer wanted: dry run, a later revision, an approved review


class Outcome(Struct, omit_defaults=True, frozen=True):
    """What became of one action of a decision."""

    action: str
    state: OutcomeState
    detail: str = ""


class Record(Struct, omit_defaults=True, frozen=True):
    """One row of the audit: a message, what was decided about it, when, and what came of it.

    `seq` grows by the order of commits and is the cursor of the decision feed; 0 until stored. `attempts` above 1 says
    that the message was delayed and lost its place in its channel.
    """

    message: Message
    decision: Decision
    received_at: datetime
    decided_at: datetime
    seq: int = 0
    attempts: int = 1
    outcomes: tuple[Outcome, ...] = ()


class Appended(Struct, frozen=True):
    """What became of records that are only kept once a message key, by their indexes.

    `new` were appended, `conflicts` had a key that was decided before for another text; the rest was decided before.
    """

    new: tuple[int, ...]
    conflicts: tuple[int, ...]


class Depth(Struct, frozen=True):
    """How full a queue is; `oldest` is the age of the oldest waiting message, zero when none waits.

    `untold` names the fields that the broker does not tell: they are zero here, and mean nothing.
    """

    waiting: int
    leased: int
    delayed: int
    dead: int
    oldest: timedelta
    untold: tuple[str, ...] = ()


class WebhookCall(Struct, frozen=True):
    """A platform's call, whoever serves it: headers with lower-case names, the raw body, when it came (UTC)."""

    headers: dict[str, str]
    body: bytes
    at: datetime


class WebhookAnswer(Struct, frozen=True):
    """What a platform is answered; without a body, none."""

    status: int = 200
    body: bytes = b""
    media: str = "application/json"


def now() -> datetime:
    """The current time, in UTC."""
    return datetime.now(UTC)
