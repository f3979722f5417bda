"""Joins letters that stand alone, "h e l l o", and words that were cut in two, "stu pid".

On the whole text, after the override and before the words.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Final

from chat_moderator.text.alphabets import fold_character
from chat_moderator.text.leetspeak import SIGNS
from chat_moderator.text.mapped import Mapped
from chat_moderator.text.masks import EDGES
from chat_moderator.text.misspellings import Fragment, fragment, is_cut
from chat_moderator.text.readings import Known
from chat_moderator.text.words import tokens

ENOUGH: Final = 3
"""So many lone letters in a row are a word; two may be "I a…" or initials."""

_LONGEST_LETTER: Final = 8  # a letter with marks and invisible characters
_UNSPACED_FROM: Final = 0x2190
_AROUND: Final = EDGES + "!"
_MOST_PARTS: Final = 4


def stands_alone(token: str) -> bool:
    """Whether the token is one letter, digit or sign of a spaced script, after folding."""
    if len(token) > _LONGEST_LETTER or (len(token) > 1 and token.isascii()):
        return False
    folded = "".join(map(fold_character, token))
    return len(folded) == 1 and ord(folded) < _UNSPACED_FROM


def fragment_of(token: str, known: Known) -> Fragment:
    """What a token, without the punctuation around it, may be of a word of abuse that was cut."""
    return fragment(token.strip(_AROUND).lower(), known)


def join_cut(mapped: Mapped, known: Known) -> Mapped:
    """Joins neighbours that are a word of abuse cut in two, of which one at least is no word."""
    found = list(tokens(mapped.text))
    if not may_hold_cut([token for token, _ in found], known):
        return mapped
    pieces: list[tuple[str, int, int]] = []
    at = index = 0
    while index < len(found):
        longest = found[index : index + _MOST_PARTS]
        parts = next((some for some in _beginnings(longest) if is_cut(_parts(some), known)), found[index : index + 1])
        for (token, begin), (_, after) in pairwise(parts):
            pieces += mapped.pieces(at, begin + len(token))
            at = after
        index += len(parts)
    pieces += mapped.pieces(at, len(mapped.text))
    return Mapped.join(pieces)


def may_hold_cut(found: Sequence[str], known: Known) -> bool:
    """Whether some neighbours among a text's tokens may be the first two parts of a cut word."""
    fragments = [fragment_of(token, known) for token in found]
    return any(
        first.begins and second.follows and (first.wordless or second.wordless) for first, second in pairwise(fragments)
    )


def holds_cut(found: Sequence[str], known: Known) -> bool:
    """Whether some neighbours among a text's tokens are a word of abuse that was cut; cheaper than to join them."""
    parts = [token.strip(_AROUND).lower() for token in found]
    return any(
        is_cut(parts[start : start + size], known)
        for start in range(len(parts) - 1)
        if fragment(parts[start], known).begins
        for size in range(2, _MOST_PARTS + 1)
    )


def _beginnings(found: list[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    return (found[:size] for size in range(len(found), 1, -1))


def _parts(found: list[tuple[str, int]]) -> list[str]:
    """Tokens in lower case, without the punctuation before the first and after the last."""
    parts = [token.lower() for token, _ in found]
    parts[0] = parts[0].lstrip(_AROUND)
    parts[-1] = parts[-1].rstrip(_AROUND)
    return parts


def join_letters(mapped: Mapped, known: Known) -> Mapped:
    """Makes one word of lone letters in a row; a wider gap among narrow ones ends a word; other signs go.

    One letter before or after stays alone if the others are a known word without it: "a f u n n y".
    """
    pieces: list[tuple[str, int, int]] = []
    found = list(tokens(mapped.text))
    for alone, group in groupby(found, key=lambda item: stands_alone(item[0])):
        run = list(group)
        for part in (word for words in _words(run) for word in _apart(words, known)) if alone else [run]:
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


def _apart(run: list[tuple[str, int]], known: Known) -> list[list[tuple[str, int]]]:
    size = len(run)
    letters = [fold_character(token[0]) for token, _ in run]
    for begin, end in ((0, size), (1, size), (0, size - 1), (1, size - 1)):
        if end - begin >= ENOUGH and known("".join(letters[begin:end])):
            return [part for part in (run[:begin], run[begin:end], run[end:]) if part]
    return [run]
