"""Brings letters of decorative alphabets back to plain ones and drops what cannot be seen. Second in the chain.

Full-width, mathematical, circled, squared, parenthesised, superscript, small-capital and regional-indicator letters by
Unicode's own compatibility mapping and character names; other scripts are untouched.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from chat_moderator.text.mapped import Mapped

_NAMED_LETTER: Final = re.compile(
    r"(?:REGIONAL INDICATOR SYMBOL|TAG LATIN SMALL|TAG LATIN CAPITAL"
    r"|(?:NEGATIVE |CROSSED )*(?:CIRCLED|SQUARED|PARENTHESIZED)(?: LATIN CAPITAL| LATIN SMALL)?"
    r"|LATIN LETTER SMALL CAPITAL|LATIN SUBSCRIPT SMALL|MODIFIER LETTER SMALL|MODIFIER LETTER CAPITAL) LETTER ([A-Z])"
    r"|LATIN LETTER SMALL CAPITAL ([A-Z])|MODIFIER LETTER (?:SMALL|CAPITAL) ([A-Z])"
    r"|COMBINING LATIN SMALL LETTER ([A-Z])"
)
_INVISIBLE_LETTERS: Final = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u034f\u180e")
_APOSTROPHES: Final = frozenset("\u2018\u2019\u02bc\uff07")
_REGIONAL: Final = re.compile("[\U0001f1e6-\U0001f1ff]+")
_FLAG: Final = 2


@lru_cache(maxsize=65_536)
def fold_character(character: str) -> str:
    """The plain, lower-case form of one character; empty for what cannot be seen."""
    category = unicodedata.category(character)
    if category in {"Cc", "Cf", "Co", "Cn"} or character in _INVISIBLE_LETTERS or "\ufe00" <= character <= "\ufe0f":
        return ""
    if category == "Cs":
        return ""
    if category == "Mn":
        return _combining_letter(character)
    if character in _APOSTROPHES:
        return "'"
    folded = unicodedata.normalize("NFKC", character)
    if len(folded) > 1 and not folded.isalnum():
        folded = "".join(part for part in folded if part.isalnum()) or folded
    if folded == character and (named := _NAMED_LETTER.fullmatch(unicodedata.name(character, ""))):
        folded = next(group for group in named.groups() if group)
    return unicodedata.normalize("NFC", folded.lower()).replace("\u0307", "") if folded != "ß" else folded


def _combining_letter(mark: str) -> str:
    named = _NAMED_LETTER.fullmatch(unicodedata.name(mark, ""))
    return named[4].lower() if named and named[4] else mark


def fold_alphabets(mapped: Mapped) -> Mapped:
    """Folds every character; a lone pair of regional indicators is a flag and stays."""
    flags = {
        index
        for match in _REGIONAL.finditer(mapped.text)
        if match.end() - match.start() == _FLAG
        for index in range(*match.span())
    }
    folded = list(map(fold_character, mapped.text))
    if not flags and all(len(each) == 1 for each in folded):
        return mapped._replace(text="".join(folded))
    return Mapped.join(
        (character if index in flags else each, start, end)
        for index, (each, character, start, end) in enumerate(zip(folded, *mapped, strict=True))
    )
