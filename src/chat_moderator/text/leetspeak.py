"""Digits and signs that stand for letters. Doubtful, so it gives readings, between which a vocabulary chooses."""

import re
from itertools import islice, product
from typing import Final

_LETTERS: Final = {
    "0": "o",
    "1": "il",
    "2": "z",
    "3": "e",
    "4": "a",
    "5": "s",
    "6": "gb",
    "7": "t",
    "8": "b",
    "9": "g",
    "@": "a",
    "$": "s",
    "!": "il",
    "|": "il",
    "+": "t",
    "(": "c",
    "<": "c",
    "¡": "i",
    "€": "e",
    "£": "l",
    "¢": "c",
    "¥": "y",
}
SIGNS: Final = "".join(_LETTERS)
_SIGN: Final = re.compile(f"[{re.escape(SIGNS)}]")
_ALPHABETIC: Final = re.compile(r"[^\W\d_]|@")
_AMBIGUOUS_TRIED: Final = 4
_SHORT: Final = 8


def leet_readings(word: str) -> list[str]:
    """The word with its digits and signs read as letters, at most four ways.

    None if it has no letter or no sign, or is a long jumble of both, as identifiers are.
    """
    signs = len(_SIGN.findall(word))
    if not signs or not _ALPHABETIC.search(word) or (len(word) > _SHORT and 2 * signs > len(word)):
        return []
    options = [_LETTERS.get(character, character) for character in word]
    return ["".join(letters) for letters in islice(product(*options), _AMBIGUOUS_TRIED)]
