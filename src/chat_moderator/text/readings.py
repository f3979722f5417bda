"""Which word is meant: the caller's vocabulary decides where a spelling may be read in several ways."""

import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from chat_moderator.text.confusables import look_latin, turn_around
from chat_moderator.text.leetspeak import leet_readings
from chat_moderator.text.mapped import Mapped
from chat_moderator.text.marks import strip_marks
from chat_moderator.text.repeats import has_long_run, has_run, repeat_readings

Known = Callable[[str], bool]
"""Whether the caller has the word in its vocabulary."""

_DOTTED: Final = re.compile(r"[^\W_](?:[\W_]{1,3}[^\W_]){2,}")
_SIGN_WITHIN: Final = re.compile(r"[^\W\d_][0-9@$!|+]+[^\W\d_]")
_SIGNS_ALONE: Final = re.compile(r"@[@$!|+]{2,}")
_PART: Final = re.compile(r"[^\W_]+")
_SHORTEST_JOINED: Final = 4
_LONGEST_WORD: Final = 32  # beyond, no spelling is worth trying


def best_reading(word: Mapped, known: Known) -> Mapped:
    """The first reading that is known, or else the word with its held letters shortened."""
    if known(word.text) or (word.text.isascii() and not has_run(word.text)):
        return word
    if found := _first_known(_spellings(word), known):
        return found
    return next(repeat_readings(word)) if has_long_run(word.text) else word


def whole_reading(token: Mapped, known: Known) -> Mapped | None:
    """The token as one word, where the signs within it are letters or mere separators; None if they are punctuation."""
    text = token.text
    if text.isalpha():
        return best_reading(token, known)
    letters = [index for index, character in enumerate(text) if character.isalnum()]
    if text.isdigit() or (not letters and not _SIGNS_ALONE.fullmatch(text)):
        return None
    if len(letters) < len(text) and _DOTTED.fullmatch(text):
        return best_reading(_pick(token, letters), known)
    if known(text):
        return token
    found = _first_known(_leet(token), known)
    if found is None and len(letters) < len(text):
        found = _joined(token, letters, known)
    if found is None and _SIGN_WITHIN.search(text):
        found = next((reading for reading in _leet_only(token) if reading.text.isalpha()), None)
    return found


def _joined(token: Mapped, letters: list[int], known: Known) -> Mapped | None:
    """The token without its separators, if that is a known word and its parts are not."""
    joined = _pick(token, letters)
    if "*" in token.text or len(letters) < _SHORTEST_JOINED or all(known(part) for part in _PART.findall(token.text)):
        return None
    return _first_known(chain(_spellings(joined), _leet(joined)), known)


def _first_known(readings: Iterator[Mapped], known: Known) -> Mapped | None:
    return next((reading for reading in readings if known(reading.text)), None)


def _spellings(word: Mapped) -> Iterator[Mapped]:
    """The word as it is, with repeats shortened, and, if not ASCII, the same without marks and as it looks in Latin."""
    yield word
    if len(word.text) > _LONGEST_WORD:
        return
    yield from repeat_readings(word)
    if not word.text.isascii():
        for fold in (strip_marks, look_latin):
            folded = fold(word.text)
            if folded != word.text and folded.isascii():
                yield from _spellings(word._replace(text=folded))
        turned = turn_around(word.text, enough=1)
        if turned.isascii():
            yield Mapped(turned, word.starts[::-1], word.ends[::-1])


def _leet(token: Mapped) -> Iterator[Mapped]:
    if len(token.text) <= _LONGEST_WORD:
        for reading in _leet_only(token):
            yield from _spellings(reading)


def _leet_only(token: Mapped) -> Iterator[Mapped]:
    return (token._replace(text=reading) for reading in leet_readings(token.text))


def _pick(mapped: Mapped, indexes: list[int]) -> Mapped:
    return Mapped.join((mapped.text[index], mapped.starts[index], mapped.ends[index]) for index in indexes)
