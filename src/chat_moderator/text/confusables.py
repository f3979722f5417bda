# ruff: noqa: RUF001 -- look-alikes are what this file is about
"""Reads letters of other scripts that look like Latin ones as Latin, where a word mixes scripts. After the marks.

A word wholly in one script is that script's, whatever it looks like. The letter shapes are those that a reader takes
for Latin in common fonts.
"""

from typing import Final

_LOOKALIKES: Final = {
    "a": "αаɑ⍺ꓮᎪ∀",
    "b": "вьƅᏏꓐβ฿₿",
    "c": "сϲᴄꓚᏟ¢ↄ",
    "d": "ԁɗᏧꓒժ",
    "e": "еє℮ҽэεꓰᎬ€∃",
    "f": "ғƒꓝքϝ",
    "g": "ԍɡցꓖᏀ",
    "h": "һհнҥꓧᎻ",
    "i": "іıɩιꓲ¡",
    "j": "јϳꓙᎫյ",
    "k": "кκқꓗᏦ",
    "l": "ӏꓡᏞ£ℓ",
    "m": "мꓟᎷ",
    "n": "пոռηƞꓠ",
    "o": "оοօσꓳଠ௦ഠ०੦૦၀〇",
    "p": "рρⲣꓑᏢ₽",
    "q": "ԛգզ",
    "r": "гꓣᏒ",
    "s": "ѕꓢᏚ§",
    "t": "тτꓔ†",
    "u": "υսцʋꓴᑌ∪µμ",
    "v": "ѵνꓦᏙ∨√",
    "w": "шѡωԝꓪᏔɯщ₩",
    "x": "хχ×ꓫж",
    "y": "уγүұꓬч¥",
    "z": "ᴢꓜᏃʐ",
}
_LATIN: Final = {look: letter for letter, looks in _LOOKALIKES.items() for look in looks.lower()}
_UPSIDE_DOWN: Final = dict(zip("ɐqɔpǝɟƃɥᴉɾʞʃɯuodbɹsʇnʌʍxʎz", "abcdefghijklmnopqrstuvwxyz", strict=True))
_TURNED_ONLY: Final = frozenset("ɐɔǝɟƃɥᴉɾʞʃɯɹʇʌʍʎ")
_ENOUGH_TURNED: Final = 2


def fold_confusables(word: str) -> str:
    """The word in Latin letters if it mixes Latin with look-alikes and nothing else, or as it is; length unchanged."""
    if word.isascii() or not any("a" <= character <= "z" for character in word):
        return word
    folded = look_latin(word)
    return folded if all(character < "\u0250" or not character.isalpha() for character in folded) else word


def look_latin(word: str) -> str:
    """What the word looks like to one who reads Latin only; letters without a Latin look stay. Length unchanged."""
    return "".join(_LATIN.get(character, character) for character in word)


def turn_around(word: str, *, enough: int = _ENOUGH_TURNED) -> str:
    """A word typed upside down, the right way round; any other as it is. Length unchanged, order reversed.

    `enough` letters must be such as are only seen in words that are upside down.
    """
    if sum(character in _TURNED_ONLY for character in word) < enough:
        return word
    return "".join(_UPSIDE_DOWN.get(character, character) for character in reversed(word))
