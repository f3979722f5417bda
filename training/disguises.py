"""Spellings that hide a word, for augmentation. Those of the evaluation are others, see `unseen_disguises`."""

import random
import re
from collections.abc import Callable, Sequence
from typing import Final

Disguise = Callable[[str, random.Random], str]

_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_VOWELS: Final = "aeiou"
_KEYS: Final = dict(zip("abcdefghijklmnopqrstuvwxyz", "svxdrdfgjkjkmnmiplwaytybsetx", strict=False))
_LEET: Final = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"})


def star(word: str, chance: random.Random) -> str:
    """One or two inner letters starred."""
    at = chance.randrange(1, len(word) - 1)
    hidden = min(chance.randint(1, 2), len(word) - 1 - at)
    return word[:at] + "*" * hidden + word[at + hidden :]


def drop_vowel(word: str, chance: random.Random) -> str:
    """One vowel less."""
    places = [index for index, letter in enumerate(word) if letter.lower() in _VOWELS and index]
    return word if not places else word[: (at := chance.choice(places))] + word[at + 1 :]


def swap(word: str, chance: random.Random) -> str:
    """Two neighbours swapped."""
    at = chance.randrange(len(word) - 1)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def slip(word: str, chance: random.Random) -> str:
    """A neighbouring key."""
    at = chance.randrange(len(word))
    return word[:at] + _KEYS.get(word[at].lower(), word[at]) + word[at + 1 :]


def phonetic(word: str, _: random.Random) -> str:
    """Written as it sounds."""
    for before, after in (("ck", "k"), ("f", "ph"), ("er", "a"), ("you", "u"), ("s", "z")):
        if before in word:
            return word.replace(before, after, 1)
    return word


def hold(word: str, chance: random.Random) -> str:
    """One letter held down."""
    at = chance.randrange(len(word))
    return word[:at] + word[at] * chance.randint(2, 5) + word[at + 1 :]


def leet(word: str, _: random.Random) -> str:
    """Digits for letters."""
    return word.translate(_LEET)


def part(word: str, chance: random.Random) -> str:
    """Cut in two."""
    at = chance.randrange(1, len(word))
    return f"{word[:at]} {word[at:]}"


def affix(word: str, chance: random.Random) -> str:
    """Letters before and after."""
    letters = "aeiouxyzn"
    return (
        "".join(chance.choices(letters, k=chance.randint(0, 2)))
        + word
        + "".join(chance.choices(letters, k=chance.randint(1, 3)))
    )


def double_one(word: str, chance: random.Random) -> str:
    """One letter doubled."""
    at = chance.randrange(len(word))
    return word[: at + 1] + word[at:]


DISGUISES: Final[tuple[Disguise, ...]] = (star, drop_vowel, swap, slip, phonetic, hold, leet, double_one, part, affix)


def disguise(text: str, chance: random.Random, telling: Sequence[tuple[int, int]] = ()) -> str:
    """The text with one disguise put on the `telling` stretches, or else on about half of its longer words."""
    put_on = chance.choice(DISGUISES)
    if not telling:
        return _WORD.sub(lambda match: put_on(match[0], chance) if chance.random() < 0.5 else match[0], text)
    pieces: list[str] = []
    at = 0
    for start, end in sorted(telling):
        if start >= at:
            pieces += text[at:start], _WORD.sub(lambda match: put_on(match[0], chance), text[start:end])
            at = end
    return "".join(pieces) + text[at:]
