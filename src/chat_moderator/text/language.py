"""Which language a text is in: its script, and for Latin script a small linear model of words and their pieces.

The model (`language.npz`, made by `python -m training.language`) is multinomial logistic regression over hashed
words and n-grams of 1 to 4 characters within words.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCORED: Final = ("ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "pt", "ru", "tr", "zh")
"""The languages that the bundled classifiers were trained for and measured in."""

BUCKETS: Final = 2**15
LONGEST_PIECE: Final = 4
READ: Final = 400
"""Characters that are looked at."""

SHARE: Final = 0.2
"""A script or a language with less of the text than this is not named."""

SURE: Final = 0.8
"""How probable a language must be that nothing here is trained for; below, the best of the others is named."""

WEIGHTS: Final = Path(__file__).with_name("language.npz")

_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_NO_WORDS: Final = re.compile(r"https?://\S+|www\.\S+|[@#]\w+")
_SCRIPTS: Final = {
    "ARABIC": "ar",
    "ARMENIAN": "hy",
    "BENGALI": "bn",
    "CJK": "zh",
    "CYRILLIC": "ru",
    "DEVANAGARI": "hi",
    "FULLWIDTH": "latin",
    "GEORGIAN": "ka",
    "GREEK": "el",
    "GUJARATI": "gu",
    "HANGUL": "ko",
    "HEBREW": "he",
    "HIRAGANA": "ja",
    "IDEOGRAPHIC": "zh",
    "KANNADA": "kn",
    "KATAKANA": "ja",
    "KATAKANA-HIRAGANA": "ja",
    "KHMER": "km",
    "LAO": "lo",
    "LATIN": "latin",
    "MALAYALAM": "ml",
    "MYANMAR": "my",
    "TAMIL": "ta",
    "TELUGU": "te",
    "THAI": "th",
}
_UKRAINIAN: Final = frozenset("іїєґ")
_PERSIAN: Final = frozenset("پچژگ")


def detect(text: str) -> tuple[str, ...]:
    """The languages of a text as BCP 47 tags, the likeliest first; none where it has no letters to go by.

    Hindi in Latin letters is `hi-Latn`.
    """
    text = _NO_WORDS.sub(" ", text[: 2 * READ])[:READ]
    counts = Counter(script for character in text if character.isalpha() and (script := _script(character)))
    if counts["ja"]:
        counts["ja"] += counts.pop("zh", 0)  # Japanese is written with Chinese characters too
    total = sum(counts.values())
    found: list[str] = []
    for script, count in counts.most_common():
        if count < SHARE * total:
            break
        found += _latin(text) if script == "latin" else [_refined(script, text)]
    return tuple(dict.fromkeys(found))


def primary(tag: str) -> str:
    """The language of a tag without script and region: `pt` of `pt-BR`."""
    return tag.replace("_", "-").partition("-")[0].lower()


@lru_cache(65_536)
def buckets(word: str) -> tuple[int, ...]:
    """The hashed features of a lower-case word: itself and its pieces, with its ends marked."""
    framed = f"^{word}$"
    pieces = [
        crc32(framed[start : start + size].encode("utf-8", "surrogatepass"), size) % BUCKETS
        for size in range(1, LONGEST_PIECE + 1)
        for start in range(len(framed) - size + 1)
    ]
    return crc32(word.encode("utf-8", "surrogatepass")) % BUCKETS, *pieces


def words(text: str) -> list[str]:
    """The words of a text as the model sees them."""
    return [match.lower() for match in _WORD.findall(unicodedata.normalize("NFKC", text))]


def _latin(text: str) -> list[str]:
    import numpy as np  # noqa: PLC0415 -- most texts of most programs that import this need none

    languages, _, bias = _model()
    given = [word for word in words(text) if _script(word[0]) == "latin"]
    if not given:
        return []
    scores = bias + np.sum([_evidence(word) for word in given], axis=0) / np.sqrt(len(given))
    probable = np.exp(scores - scores.max())
    probable /= probable.sum()
    ranked = [languages[index] for index in np.argsort(-probable)]
    best = ranked[0]
    if primary(best) not in SCORED and probable.max() < SURE:
        best = next(each for each in ranked if primary(each) in SCORED)
    second = ranked[1] if ranked[0] == best else ranked[0]
    return [best, second] if probable[languages.index(second)] >= SHARE and primary(second) in SCORED else [best]


@lru_cache(65_536)
def _evidence(word: str) -> "NDArray[np.float32]":
    _, weights, _ = _model()
    mean: NDArray[np.float32] = weights[list(buckets(word))].mean(axis=0)
    return mean


@lru_cache(1)
def _model() -> "tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.float32]]":
    import numpy as np  # noqa: PLC0415

    with np.load(WEIGHTS, allow_pickle=False) as file:
        weights = file["weights"].astype(np.float32) * file["scale"].astype(np.float32)
        return tuple(str(name) for name in file["languages"]), weights, file["bias"].astype(np.float32)


@lru_cache(4096)
def _script(character: str) -> str:
    return _SCRIPTS.get(unicodedata.name(character, "").partition(" ")[0], "")


def _refined(script: str, text: str) -> str:
    letters = frozenset(text.lower())
    if script == "ru" and letters & _UKRAINIAN:
        return "uk"
    if script == "ar" and letters & _PERSIAN:
        return "fa"
    return script
