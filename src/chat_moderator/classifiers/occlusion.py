"""Explains a score without looking into the model: hide a word, and see how much is lost."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers import telling
from chat_moderator.text.words import tokens
from chat_moderator.types import Span

Floats = NDArray[np.float32]
Score = Callable[[Sequence[str]], Floats]


def explain(text: str, score: Score, labels: Sequence[str], *, tries: int, longest: int = 1_000) -> tuple[Span, ...]:
    """The words without which each label scored 0.5 or more, or else the highest, would score lower.

    Args:
        text: the original.
        score: of texts, (texts, labels).
        labels: names of the columns.
        tries: words, or stretches of words, that are hidden one after another; neighbours are one span.
        longest: characters; in a longer text the stretches that score highest alone are shown instead, for reading
            all without each of them takes as many times as long.
    """
    places = [(start, start + len(token)) for token, start in tokens(text)]
    if not places:
        return ()
    scores = score([text])[0]
    groups = _groups(places, tries)
    if len(text) > longest:
        evidence = score([text[start:end] for start, end in groups])
    else:
        evidence = _logit(scores) - _logit(score([f"{text[:start]} {text[end:]}" for start, end in groups]))
    spans: list[Span] = []
    for column in telling.columns(scores):
        spans += telling.spans(groups, evidence[:, column], labels[column])
    return tuple(sorted(spans, key=lambda span: (span.start, span.end, span.label)))


def _logit(scores: Floats) -> Floats:
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    found: Floats = np.log(clipped / (1 - clipped))
    return found


def _groups(places: list[tuple[int, int]], tries: int) -> list[tuple[int, int]]:
    """The words, or stretches of words where there are more than can be tried."""
    size = -(-len(places) // tries)
    return [(group[0][0], group[-1][1]) for group in (places[at : at + size] for at in range(0, len(places), size))]
