"""Generated chat: ten words a message from a Zipf vocabulary, every message different."""

import itertools
import random
from collections.abc import Iterator

import msgspec

VOCABULARY = 20_000
WORDS = 10
CHANNELS = 200
AUTHORS = 5_000
RUDE = ("idiot", "moron", "trash", "loser", "stfu", "pathetic")
"""Common enough in the vocabulary that a few of a hundred messages hold one."""


def vocabulary(rng: random.Random) -> list[str]:
    """Made-up words, the rude ones among the ranks where they make up about 3% of messages."""
    consonants, vowels = "bcdfghjklmnprstvwz", "aeiou"
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        syllables = rng.choices((1, 2, 3, 4), (2, 5, 3, 1))[0]
        words["".join(rng.choice(consonants) + rng.choice(vowels) for _ in range(syllables))] = None
    ranked = list(words)
    for place, word in zip(range(400, VOCABULARY, 400), RUDE, strict=False):
        ranked[place] = word
    return ranked


def texts(count: int, seed: int = 1) -> list[str]:
    """`count` different messages; the same for the same seed."""
    rng = random.Random(seed)
    words = vocabulary(rng)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))
    found: dict[str, None] = {}
    while len(found) < count:
        drawn = rng.choices(words, cum_weights=weights, k=WORDS * 1000)
        for start in range(0, len(drawn), WORDS):
            found[" ".join(drawn[start : start + WORDS])] = None
    return list(found)[:count]


def bodies(lines: list[str], size: int, seed: int = 1, first: int = 0) -> Iterator[bytes]:
    """Request bodies for `POST /v1/messages`, `size` messages each, with ids from `first` on."""
    rng = random.Random(seed)
    for start in range(0, len(lines), size):
        messages = [
            {
                "id": str(first + start + index),
                "text": text,
                "platform": "bench",
                "channel": f"channel-{rng.randrange(CHANNELS)}",
                "author": {"id": f"user-{rng.randrange(AUTHORS)}"},
            }
            for index, text in enumerate(lines[start : start + size])
        ]
        yield msgspec.json.encode({"messages": messages})
