"""How far a cascade's verdicts are those of its last tier: both judge the same texts."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from chat_moderator.moderator.bounds import upper_bound
from chat_moderator.moderator.cascade import Cascade
from chat_moderator.protocols import Policy
from chat_moderator.types import Assessment, Decision, Message, Struct, Verdict, now

BATCH = 256


class Agreement(Struct, frozen=True):
    """What the comparison found; `seconds` of processor time are the cascade's own, policy left out.

    `acted` counts texts that the last tier would not have allowed, `missed` those of them that the cascade allowed.
    """

    texts: int
    by_tier: dict[str, int]
    differing: int
    acted: int
    missed: int
    degraded: int
    seconds: float

    @property
    def escalated(self) -> float:
        """The share of texts that the first tier did not answer, 0 to 1."""
        return 1 - next(iter(self.by_tier.values())) / self.texts

    @property
    def disagreement(self) -> tuple[float, float]:
        """The share of verdicts that differ, and its 95% upper bound."""
        return self.differing / self.texts, upper_bound(self.differing, self.texts)

    @property
    def missed_share(self) -> tuple[float, float]:
        """The share of what the last tier would act on that is let through, and its 95% upper bound."""
        return self.missed / max(self.acted, 1), upper_bound(self.missed, self.acted)


def compare(
    cascade: Cascade, policy: Policy, texts: Sequence[str], tick: Callable[[int], None] = lambda _: None
) -> tuple[Agreement, list[Assessment]]:
    """Judges the texts twice, with early exits and without; also returns the assessments with them.

    Args:
        cascade: without hints, which hold whatever a tier says.
        policy: decides.
        texts: at least one.
        tick: is told after each batch how many texts were done, twice each in the end.
    """
    began = time.process_time()
    early = _assessed(cascade, texts, policy, tick, whole=False)
    seconds = time.process_time() - began
    whole = _assessed(cascade, texts, policy, tick, whole=True)
    messages, at = [Message(str(index), text) for index, text in enumerate(texts)], now()

    def decided(assessments: Sequence[Assessment]) -> list[Decision]:
        return policy.decide(messages, assessments, at=at)

    pairs = [(one.verdict, two.verdict) for one, two in zip(decided(early), decided(whole), strict=True)]
    counted = Counter(each.tier for each in early)
    return Agreement(
        texts=len(texts),
        by_tier={name: counted[name] for name in cascade.tiers},
        differing=sum(one is not two for one, two in pairs),
        acted=sum(two is not Verdict.ALLOW for _, two in pairs),
        missed=sum(one is Verdict.ALLOW and two is not Verdict.ALLOW for one, two in pairs),
        degraded=sum(each.degraded for each in (*early, *whole)),
        seconds=seconds,
    ), early


def _assessed(
    cascade: Cascade, texts: Sequence[str], policy: Policy, tick: Callable[[int], None], *, whole: bool
) -> list[Assessment]:
    found: list[Assessment] = []
    for begin in range(0, len(texts), BATCH):
        some = texts[begin : begin + BATCH]
        found += cascade.assess(some, () if whole else policy.limits)
        tick(len(some))
    return found
