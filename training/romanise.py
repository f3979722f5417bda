"""Hindi in Latin letters, as most of its young writers type it: "नफ़रत करता हूँ" becomes "nafrat karta hun".

No scholarly scheme: vowels lose their length now and then, nasal marks come and go, a final schwa is silent, and so is
one between a vowel and a consonant with a vowel of its own (after Ohala, "Aspects of Hindi Phonology", 1983).
"""

import random
import re
import unicodedata
from typing import Final

_CONSONANTS: Final = dict(
    zip(
        "कखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसहळ",
        "k kh g gh n ch chh j jh n t th d dh n t th d dh n p ph b bh m y r l v sh sh s h l".split(),  # noqa: SIM905
        strict=True,
    )
) | {"क़": "q", "ख़": "kh", "ग़": "g", "ज़": "z", "ड़": "rd", "ढ़": "rdh", "फ़": "f"}
_SPOKEN: Final = {
    "v": ("v", "w"),
    "ph": ("ph", "f"),
    "z": ("z", "z", "j"),
    "chh": ("chh", "ch"),
    "rd": ("r", "d"),
    "rdh": ("rh", "dh"),
}
_VOWELS: Final = {
    "अ": "a", "आ": "aa", "इ": "i", "ई": "ee", "उ": "u", "ऊ": "oo", "ऋ": "ri", "ए": "e", "ऐ": "ai", "ओ": "o", "औ": "au",
    "ऑ": "o", "ऍ": "e",
}  # fmt: skip
_SIGNS: Final = {
    "ा": "aa", "ि": "i", "ी": "ee", "ु": "u", "ू": "oo", "ृ": "ri", "े": "e", "ै": "ai", "ो": "o", "ौ": "au", "ॉ": "o",
    "ॅ": "e",
}  # fmt: skip
_SHORTER: Final = {"aa": ("a", "a", "a", "aa"), "ee": ("i", "i", "ee"), "oo": ("u", "u", "oo")}
_NASAL: Final = "ँं"
_SILENT: Final = "्"
_NUKTA: Final = "\u093c"
_SCHWA: Final = "\u0259"
_WORD: Final = re.compile(r"[\u0900-\u0963\u0970-\u097f]+")
_INNER_SCHWA: Final = re.compile(rf"(?<=[aeiou])([^aeiou{_SCHWA}]h?){_SCHWA}(?=[^aeiou{_SCHWA}n]h?[aeiou])")


def romanise(text: str, chance: random.Random) -> str:
    """The text with its Devanagari words in Latin letters; all else stays."""
    return _WORD.sub(lambda match: _word(match[0], chance), unicodedata.normalize("NFC", text)).replace("।", ".")


def _word(word: str, chance: random.Random) -> str:
    parts: list[str] = []
    index = 0
    while index < len(word):
        letter = word[index]
        if index + 1 < len(word) and word[index + 1] == _NUKTA:
            letter += _NUKTA
        index += len(letter)
        consonant = _CONSONANTS.get(unicodedata.normalize("NFC", letter)) or _CONSONANTS.get(letter)
        if consonant:
            parts.append(chance.choice(_SPOKEN.get(consonant, (consonant,))))
            following = word[index : index + 1]
            if following == _SILENT:
                index += 1
            elif following not in _SIGNS:
                parts.append(_SCHWA)
        elif vowel := _VOWELS.get(letter) or _SIGNS.get(letter):
            parts.append(chance.choice(_SHORTER.get(vowel, (vowel,))))
        elif letter in _NASAL:
            last = index == len(word)
            parts.append("" if last and chance.random() < 0.5 else "n")
    if len(parts) > 2 and parts[-1] == _SCHWA:
        parts.pop()
    return _INNER_SCHWA.sub(r"\1", "".join(parts)).replace(_SCHWA, "a")
