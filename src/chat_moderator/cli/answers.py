"""A decision as the command line answers it."""

from chat_moderator.types import Decision, Message, Span, Struct, Verdict


class Answer(Struct, frozen=True):
    """One line of `--json`: `action` is the verdict, scores are 0 to 1, spans count code points of the original."""

    id: str
    action: Verdict
    score: float
    scores: dict[str, float]
    rule: str
    spans: tuple[Span, ...]


def answer(message: Message, decision: Decision) -> Answer:
    """What was decided about a message."""
    assessment = decision.assessment
    return Answer(message.id, decision.verdict, decision.score, assessment.scores, decision.rule, assessment.spans)
