"""What every classifier does: plain functions named as sentences, each given a classifier."""

from collections.abc import Callable

import numpy as np

from chat_moderator.protocols import Classifier

Check = Callable[[Classifier], None]

TEXTS = (
    "gg well played everyone",
    "you are such a pathetic loser, uninstall the game",
    "I HATE MONDAYS",
    "y0u are an 1d10t",
    "k y s",
    "schönes Spiel, danke!",
    "привет всем, как дела",
    "今日はいい天気ですね",
    "\N{FACE WITH TEARS OF JOY}" * 5,
    "a",
    "",
)
ODD = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "\u202etxet\u202c",
    "\N{ZERO WIDTH JOINER}" * 100,
    "a" * 20_000,
    "a " * 10_000,
    "\u0301" * 20_000,
    "&#x61;" * 3_000,
    "\N{PILE OF POO}" * 20_000,
    "\n\t\r",
)
TOLERANCE = 1e-5


def answers_one_row_a_text(classifier: Classifier) -> None:
    """The shape is (texts, labels), the type float32, each from 0 to 1."""
    scores = classifier.score(TEXTS)
    assert scores.shape == (len(TEXTS), len(classifier.labels))
    assert scores.dtype == np.float32
    assert float(scores.min()) >= 0.0
    assert float(scores.max()) <= 1.0


def answers_nothing_for_nothing(classifier: Classifier) -> None:
    """No texts give no rows."""
    assert classifier.score([]).shape == (0, len(classifier.labels))
    assert classifier.explain([]) == []


def names_its_labels_and_its_version(classifier: Classifier) -> None:
    """Labels differ from each other; the version says something."""
    assert len(set(classifier.labels)) == len(classifier.labels) > 0
    assert classifier.version


def says_the_same_whatever_else_is_in_the_batch(classifier: Classifier) -> None:
    """Alone, reversed, and among long and odd neighbours, a text has the same scores."""
    together = classifier.score(TEXTS)
    reversed_ = classifier.score(TEXTS[::-1])[::-1]
    padded = classifier.score([text for each in TEXTS for text in ("x" * 3000, each, "never seen zqxv")])[1::3]
    for index, text in enumerate(TEXTS):
        alone = classifier.score([text])[0]
        for scores in (reversed_[index], padded[index], together[index]):
            assert float(np.abs(alone - scores).max()) <= TOLERANCE, text


def takes_any_text(classifier: Classifier) -> None:
    """Nothing that a sender can write makes it fail."""
    assert np.isfinite(classifier.score(ODD)).all()
    classifier.explain(ODD)


def lets_an_empty_text_through(classifier: Classifier) -> None:
    """Nothing was said, so nothing is scored high."""
    assert float(classifier.score(["", " "]).max()) < 0.5


def shows_spans_inside_the_original_text(classifier: Classifier) -> None:
    """Each span has a start, an end behind it, and one of the labels."""
    for text, spans in zip((*TEXTS, *ODD), classifier.explain((*TEXTS, *ODD)), strict=True):
        for span in spans:
            assert 0 <= span.start < span.end <= len(text)
            assert span.label in classifier.labels


CHECKS: tuple[Check, ...] = (
    answers_one_row_a_text,
    answers_nothing_for_nothing,
    names_its_labels_and_its_version,
    says_the_same_whatever_else_is_in_the_batch,
    takes_any_text,
    lets_an_empty_text_through,
    shows_spans_inside_the_original_text,
)
"""The contract of `Classifier`."""
