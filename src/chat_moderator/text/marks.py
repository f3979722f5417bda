"""Takes off marks piled on letters. After the alphabets, before the confusables.

One mark that makes a letter of some language stays (ü, ñ, ё, й; any mark on scripts that spell with them); strokes, and
marks that no letter has, go. What is left doubtful (is it "ano" or "año"?) is for `readings`.
"""

import unicodedata
from typing import Final

from chat_moderator.text.mapped import Mapped

_LATIN_MARKS_END: Final = "\u036f"


def compose_marks(mapped: Mapped) -> Mapped:
    """Composes a letter with its first mark where Unicode has such a letter; drops other marks for European scripts."""
    if mapped.text.isascii():
        return mapped
    pieces: list[tuple[str, int, int]] = []
    marked = False
    for character, start, end in zip(*mapped, strict=True):
        if not _is_mark(character):
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


def _is_mark(character: str) -> bool:
    return (
        "\u0300" <= character <= _LATIN_MARKS_END
        or "\u1ab0" <= character <= "\u1aff"
        or "\u1dc0" <= character <= "\u1dff"
        or "\u20d0" <= character <= "\u20ff"
        or "\ufe20" <= character <= "\ufe2f"
        or "\u0483" <= character <= "\u0489"
    )


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
