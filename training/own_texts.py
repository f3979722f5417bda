"""What classifiers make of texts that were written for the evaluation alone (`checks/*.tsv`), and of split messages."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from chat_moderator.errors import ConfigError
from chat_moderator.moderator.recent import LONGEST
from chat_moderator.protocols import Classifier
from training.metrics import Flags, Floats, Interval, share, with_interval
from training.unseen_disguises import ALPHABETS, put_on

CHECKS: Final = Path(__file__).parent / "checks"
HOLD: Final = 0.5
BLOCK: Final = 0.8
ACTED_ON: Final = ("toxicity", "threat", "insult", "identity_attack", "spam")
"""Labels that count when a share of acted-on texts is given: those that are neither experimental nor mere swearing."""

_SPLIT: Final = 400


def load(name: str, folder: Path = CHECKS) -> list[tuple[str, str]]:
    """The kind and the text of each line of `NAME.tsv`.

    Raises:
        ConfigError: the file is missing, or a line is not a kind and a text divided by a tab.
    """
    path = folder / f"{name}.tsv"
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from error
    found = [tuple(line.split("\t")) for line in lines]
    for number, fields in enumerate(found, start=1):
        if len(fields) != 2 or not all(fields):
            raise ConfigError(f"{path}:{number}", "expected a kind and a text, divided by a tab")
    return [(kind, text) for kind, text in found]


def acted_on(classifier: Classifier, name: str) -> dict[str, Interval]:
    """The share of the texts of a file that would be held or blocked, and blocked; by kind and overall."""
    lines = load(name)
    worst = worst_of(classifier, [text for _, text in lines])
    kinds = np.array([kind for kind, _ in lines])
    found = {}
    for kind in ("", *sorted(set(kinds.tolist()))):
        here = worst[kinds == kind] if kind else worst
        label = f"{name}: {kind or 'all'}"
        found[f"{label} held or blocked"] = with_interval(share, here, here >= HOLD)
        found[f"{label} blocked"] = with_interval(share, here, here >= BLOCK)
    return found


def fancy(classifier: Classifier) -> dict[str, Interval]:
    """Benign texts in each decorative alphabet: the share that would be held or blocked."""
    texts = [text for _, text in load("fancy")]
    return {
        f"fancy: {name} held or blocked": _flagged(worst_of(classifier, [put_on(name, text) for text in texts]))
        for name in ALPHABETS
    }


def split(
    classifier: Classifier, toxic: Sequence[tuple[str, Sequence[tuple[int, int]]]], benign: Sequence[str]
) -> dict[str, Interval]:
    """Short messages of one author read with those before: caught words that are split, and benign talk that is.

    Args:
        classifier: what reads them.
        toxic: texts with the stretches that tell; each telling word that is caught alone is written in 2 to 4 messages.
        benign: texts, of which each is written in messages of 1 to 3 words.
    """
    chance = random.Random(11)
    words = sorted({text[start:end].lower() for text, spans in toxic for start, end in spans if end - start > 3})
    caught = [word for word, score in zip(words, worst_of(classifier, words), strict=True) if score >= HOLD][:_SPLIT]
    found = {}
    for parts in (2, 3, 4):
        joined = []
        for word in caught:
            cuts = sorted(chance.sample(range(1, len(word)), min(parts, len(word)) - 1))
            joined.append(" ".join(word[begin:end] for begin, end in zip([0, *cuts], [*cuts, None], strict=True)))
        found[f"word in {parts} messages caught"] = _flagged(worst_of(classifier, joined))
    spoken = [text for text in benign if len(text) <= 4 * LONGEST][:_SPLIT]
    flagged = worst_of(classifier, spoken) >= HOLD
    bursts = [_burst(text, chance) for text in spoken]
    scores = worst_of(classifier, [joined for burst in bursts for joined in burst]) >= HOLD
    owners = np.repeat(np.arange(len(bursts)), [len(burst) for burst in bursts])
    hit = np.bincount(owners, scores, len(bursts)) > 0
    found["benign talk in bursts flagged, where it is not whole"] = with_interval(
        share, np.zeros(int((~flagged).sum()), np.float32), hit[~flagged]
    )
    return found


def worst_of(classifier: Classifier, texts: Sequence[str]) -> Floats:
    """The highest score of each text among the labels that count."""
    columns = [classifier.labels.index(label) for label in ACTED_ON]
    highest: Floats = np.nanmax(classifier.score(texts)[:, columns], axis=1)  # a peer has no score for some labels
    return highest


def _burst(text: str, chance: random.Random) -> list[str]:
    """What is read as each of several messages comes: it and those before it."""
    words = text.split()
    cuts = [0]
    while cuts[-1] < len(words):
        cuts.append(cuts[-1] + chance.randint(1, 3))
    return [" ".join(words[:cut]) for cut in cuts[1:]]


def _flagged(scores: Floats) -> Interval:
    flags: Flags = scores >= HOLD
    return with_interval(share, scores, flags)
