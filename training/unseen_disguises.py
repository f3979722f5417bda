# ruff: noqa: RUF001 -- look-alikes are what this file is about
"""Disguises for the evaluation only: none of them is put on a training text."""

import random
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

_WORD: Final = re.compile(r"[A-Za-z]{3,}")
_LOOK: Final = str.maketrans("aceiopsxyABCEHKMOPTX", "асеіорѕхуАВСЕНКМОРТХ")
_GREEK: Final = str.maketrans("aeioun", "αειουη")
_MARKS: Final = "\u0335\u0336\u0301\u0308\u0330\u033b"
_SMALL: Final = {
    letter.lower(): unicodedata.lookup(f"LATIN LETTER SMALL CAPITAL {letter}") for letter in "ABCDEFGHIJKLMNOPRSTUVWYZ"
}
_INVISIBLE: Final = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_TURNED: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ɐqɔpǝɟƃɥᴉɾʞʃɯuodbɹsʇnʌʍxʎz")
_SUPERSCRIPT: Final = str.maketrans("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")
_STROKES: Final = str.maketrans("bdhlotz", "ƀđħłøŧƶ")
_SOUNDS: Final = (("tion", "shun"), ("ight", "ite"), ("sh", "sch"), ("oo", "u"), ("ck", "kk"), ("i", "ee"), ("u", "oo"))
_NEXT_KEY: Final = str.maketrans("aeioubcdfghklmnprstw", "srokyvxfgjhjknbotyre")


def _letters(fold: Callable[[str, random.Random], str]) -> Callable[[str, random.Random], str]:
    return lambda word, chance: "".join(fold(letter, chance) for letter in word)


def _shifted(upper: int, lower: int) -> Callable[[str, random.Random], str]:
    def fold(letter: str, _: random.Random) -> str:
        return chr((upper if letter.isupper() else lower) + ord(letter.lower()) - ord("a"))

    return _letters(fold)


def _inserted(between: Callable[[random.Random], str]) -> Callable[[str, random.Random], str]:
    return lambda word, chance: "".join(
        letter + (between(chance) if index < len(word) - 1 else "") for index, letter in enumerate(word)
    )


UNDOABLE: Final[dict[str, Callable[[str, random.Random], str]]] = {
    "leetspeak with signs": lambda word, _: word.lower().translate(str.maketrans("aiso", "@!$0")),
    "Cyrillic look-alikes": lambda word, _: word.translate(_LOOK),
    "Greek look-alikes": lambda word, _: word.lower().translate(_GREEK),
    "zero-width": _inserted(lambda chance: chance.choice(_INVISIBLE)),
    "combining marks": _letters(
        lambda letter, chance: letter + "".join(chance.choices(_MARKS, k=chance.randint(1, 3)))
    ),
    "accents": lambda word, _: word.lower().translate(str.maketrans("aeiouc", "áèîöúç")),
    "spaces": _inserted(lambda _: " "),
    "dots": _inserted(lambda _: "."),
    "underscores": _inserted(lambda _: "_"),
    "held letters": _letters(lambda letter, chance: letter * (chance.randint(3, 6) if letter in "aeiouAEIOU" else 1)),
    "full width": _letters(lambda letter, _: chr(ord(letter) + 0xFEE0)),
    "mathematical script": _shifted(0x1D4D0, 0x1D4EA),
    "mathematical fraktur": _shifted(0x1D56C, 0x1D586),
    "circled": _shifted(0x24B6, 0x24D0),
    "squared": _shifted(0x1F130, 0x1F130),
    "regional": _shifted(0x1F1E6, 0x1F1E6),
    "small capitals": _letters(lambda letter, _: _SMALL.get(letter.lower(), letter)),
    "override": lambda word, _: f"\u202e{word[::-1]}\u202c",
    "HTML references": _letters(lambda letter, _: f"&#{ord(letter)};"),
    "percent encoding": lambda word, _: "".join(f"%{ord(letter):02x}" for letter in quote(word)),
    "double-struck": _shifted(0x1D538, 0x1D552),
    "parenthesised": _shifted(0x1F110, 0x249C),
    "superscripts": lambda word, _: word.lower().translate(_SUPERSCRIPT),
    "strokes": lambda word, _: word.lower().translate(_STROKES),
    "upside down": lambda word, _: word.lower().translate(_TURNED)[::-1],
    "spaces and dashes": _inserted(lambda _: " - "),
    "every letter doubled": _letters(lambda letter, _: letter * 2),
    "references of references": _letters(lambda letter, _: f"&amp;#x{ord(letter):x};"),
    "full width in zero-width": lambda word, _: "\u200b".join(chr(ord(letter) + 0xFEE0) for letter in word),
    "upper and lower": _letters(lambda letter, chance: letter.upper() if chance.random() < 0.5 else letter.lower()),
}
ALPHABETS: Final = (
    "circled",
    "double-struck",
    "full width",
    "mathematical fraktur",
    "mathematical script",
    "parenthesised",
    "regional",
    "small capitals",
    "squared",
    "superscripts",
    "upside down",
)
"""Those of UNDOABLE that people also use for decoration."""

FUZZY: Final[dict[str, Callable[[str, random.Random], str]]] = {
    "all vowels dropped": lambda word, _: word[0] + re.sub("[aeiouAEIOU]", "", word[1:]),
    "vowel starred": lambda word, _: re.sub("(?<=.)[aeiouAEIOU]", "*", word, count=1),
    "all but the ends starred": lambda word, _: word[0] + "*" * (len(word) - 2) + word[-1],
    "all but the first letter starred": lambda word, _: word[0] + "*" * (len(word) - 1),
    "vowel hidden by a sign": lambda word, chance: re.sub("(?<=.)[aeiou](?=.)", chance.choice("#%-._"), word, count=1),
    "vowel an x": lambda word, _: re.sub("(?<=.)[aeiou](?=.)", "x", word, count=1),
    "inner letters swapped": lambda word, _: word[0] + word[2] + word[1] + word[3:],
    "last letters swapped": lambda word, _: word[:-2] + word[-1] + word[-2],
    "inner consonant lost": lambda word, _: re.sub("(?<=..)[^aeiouAEIOU](?=.)", "", word, count=1),
    "letter put in": lambda word, chance: word[:2] + chance.choice("hjwe") + word[2:],
    "spelt by another sound": lambda word, _: _by_sound(word),
    "key beside the right one": lambda word, _: word[:2] + word[2:3].translate(_NEXT_KEY) + word[3:],
    "word cut in two": lambda word, _: f"{word[:2]} {word[2:]}",
    "word cut in three": lambda word, _: f"{word[:1]} {word[1:3]} {word[3:]}",
    "tail added": lambda word, _: word + "ovich",
    "framed": lambda word, _: f"xx{word}xx",
    "joined to a word": lambda word, _: f"you{word}",
}


def _by_sound(word: str) -> str:
    for spelt, heard in _SOUNDS:
        if spelt in word[1:]:
            return word[0] + word[1:].replace(spelt, heard, 1)
    return word.replace("c", "k") if "c" in word else f"{word}h"


def put_on(name: str, text: str, telling: Sequence[tuple[int, int]] | None = None) -> str:
    """The text with the named disguise on every longer Latin word, or on those in the `telling` stretches."""
    chance = random.Random(len(text))
    fold = UNDOABLE.get(name) or FUZZY[name]
    if telling is not None:
        before = len(text)
        for start, end in sorted(telling, reverse=True):
            if end > before:
                continue
            before = start
            hidden = _WORD.sub(lambda match: fold(match[0], chance), text[start:end])
            text = text[:start] + hidden + text[end:]
        return text
    # Lone letters have to stay apart from their neighbours' to be read at all.
    gap = "   " if name in {"spaces", "regional", "spaces and dashes"} else " "
    return gap.join(_WORD.sub(lambda match: fold(match[0], chance), token) for token in text.split())
