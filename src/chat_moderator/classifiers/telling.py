"""Which places of a text carry the decision, once it is known how much each of them adds."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chat_moderator.types import Span

NOTABLE_SCORE: Final = 0.5
"""Labels that score as much are explained, or else the highest one."""
_NOTABLE_SHARE: Final = 0.35
"""A place is shown if it carries this share of what the strongest one carries."""


def columns(scores: NDArray[np.float32]) -> list[int]:
    """The labels to be explained, by column."""
    shown: list[int] = np.flatnonzero(scores >= NOTABLE_SCORE).tolist()
    return shown or [int(scores.argmax())]


def spans(places: Sequence[tuple[int, int]], evidence: NDArray[np.float32], label: str) -> Iterator[Span]:
    """Places that carry enough, as spans; neighbours are one span. Where no single one matters, all of them do."""
    strongest = evidence.max()
    if strongest <= 0:
        yield Span(places[0][0], places[-1][1], label)
        return
    start = end = last = -1
    for index in np.flatnonzero(evidence >= _NOTABLE_SHARE * strongest).tolist():
        if start >= 0 and index == last + 1:
            end, last = max(end, places[index][1]), index
            continue
        if start >= 0:
            yield Span(start, end, label)
        (start, end), last = places[index], index
    yield Span(start, end, label)
