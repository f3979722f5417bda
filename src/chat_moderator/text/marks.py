"""Takes off marks piled on letters. After the alphabets, before the confusables.

One mark that makes a letter of some language stays (ü, ñ, ё, й; any mark on scripts that spell with them); strokes, and
marks that no letter has, go. What is left doubtful (is it "ano" or "año"?) is for `readings`.
"""

import re
import unicodedata
from typing import Final

from chat_moderator.text.mapped import Mapped

_MARK: Final = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")


def compose_marks(mapped: Mapped) -> Mapped:
    """Composes a letter with its first mark where Unicode has such a letter; drops other marks for European scripts."""
    if not _MARK.search(mapped.text):
        return mapped
    pieces: list[tuple[str, int, int]] = []
    marked = False
    for character, start, end in zip(*mapped, strict=True):
        if not _MARK.match(character):
            pieces.append((character, start, end))
            marked = False
            continue
        if not pieces:
            continue
        last, first_start, last_end = pieces[-1]
        composed = unicodedata.normalize("NFC", last + character)
        if len(composed) == 1 and not marked and not _is_marked(last):
            pieces[-1] = (composed, first_start, end)
        else:
            pieces[-1] = (last, first_start, max(last_end, end))
        marked = True
    return Mapped.join(pieces)


def strip_marks(text: str) -> str:
    """The text with plain letters for marked Latin ones, length unchanged: "fück" becomes "fuck", "è" becomes "e"."""
    return "".join(_plain(character) for character in text)


def _is_marked(character: str) -> bool:
    return len(unicodedata.normalize("NFD", character)) > 1


def _plain(character: str) -> str:
    if character < "\x80":
        return character
    decomposed = unicodedata.normalize("NFD", character)[0]
    if decomposed.isascii():
        return decomposed
    name = unicodedata.name(character, "")
    if name.startswith("LATIN SMALL LETTER ") and " WITH " in name:
        letter = name.removeprefix("LATIN SMALL LETTER ").split(" WITH ")[0]
        if len(letter) == 1:
            return letter.lower()
    return character
