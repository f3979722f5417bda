"""Joins letters that stand alone, "h e l l o". On the whole text, after the override and before the words."""

from itertools import groupby, pairwise
from typing import Final

from chat_moderator.text.alphabets import fold_character
from chat_moderator.text.leetspeak import SIGNS
from chat_moderator.text.mapped import Mapped
from chat_moderator.text.words import tokens

ENOUGH: Final = 3
"""So many lone letters in a row are a word; two may be "I a…" or initials."""

_LONGEST_LETTER: Final = 8  # a letter with marks and invisible characters
_UNSPACED_FROM: Final = 0x2190


def stands_alone(token: str) -> bool:
    """Whether the token is one letter, digit or sign of a spaced script, after folding."""
    if len(token) > _LONGEST_LETTER or (len(token) > 1 and token.isascii()):
        return False
    folded = "".join(map(fold_character, token))
    return len(folded) == 1 and ord(folded) < _UNSPACED_FROM


def join_letters(mapped: Mapped) -> Mapped:
    """Makes one word of lone letters in a row; a wider gap among narrow ones ends a word; other signs go."""
    pieces: list[tuple[str, int, int]] = []
    found = list(tokens(mapped.text))
    for alone, group in groupby(found, key=lambda item: stands_alone(item[0])):
        run = list(group)
        for part in _words(run) if alone else [run]:
            if pieces:
                pieces.append((" ", pieces[-1][2], pieces[-1][2]))
            letters = [item for item in part if fold_character(item[0][0]).isalpha()]
            join = alone and len(letters) >= ENOUGH
            for index, (token, start) in enumerate(part):
                if index and not join:
                    pieces.append((" ", pieces[-1][2], pieces[-1][2]))
                if not join or fold_character(token[0]).isalnum() or token in SIGNS:
                    pieces += mapped.pieces(start, start + len(token))
    return Mapped.join(pieces)


def _words(run: list[tuple[str, int]]) -> list[list[tuple[str, int]]]:
    gaps = [after[1] - before[1] - len(before[0]) for before, after in pairwise(run)]
    usual = min(gaps, default=1)
    words = [[run[0]]]
    for gap, item in zip(gaps, run[1:], strict=True):
        if gap > usual:
            words.append([])
        words[-1].append(item)
    return words
