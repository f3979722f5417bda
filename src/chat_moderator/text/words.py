"""From a whitespace-delimited token to the words that it says, each with its place in the original."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from chat_moderator.text.folding import fold
from chat_moderator.text.mapped import Mapped
from chat_moderator.text.masks import EDGES, LINK, NUMBER, host_words, mask
from chat_moderator.text.misspellings import HIDING, is_usual, meant, meant_unknown, unmasked
from chat_moderator.text.readings import Known, best_reading, whole_reading


class Word(NamedTuple):
    """A word as it reads, lower case, from `start` to `end` (exclusive, code points) of the original.

    Masks stand for links, user names and long numbers; a cluster of punctuation is a word too.
    """

    text: str
    start: int
    end: int

    @property
    def speaks(self) -> bool:
        """Whether it says something, rather than being punctuation."""
        first = self.text[0]
        return first.isalnum() or first == "\x11" or first >= "\u2190"


# Marks and vowel signs that scripts spell with are not \w for Python.
_MARKS: Final = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u0900-\u0963\u0966-\u0dff"
    "\u0e31-\u0e4e\u0eb1-\u0ece\u0f18-\u0fbc\u1000-\u109f\u1712-\u1734\u17b4-\u17d3\u180b-\u180d"
)
_LETTER: Final = rf"(?:[^\W_]|[{_MARKS}])"
_SYMBOLS: Final = "\u2190-\u2bff\U0001f000-\U0001faff"
_PIECE: Final = re.compile(
    rf"{_LETTER}+(?:'{_LETTER}+|\*+{_LETTER}*)*|[{_SYMBOLS}]|(?:(?![{_MARKS}])[^\w{_SYMBOLS}])+|_+"
)

# Most tokens of most chats are an ASCII word with punctuation around it: nothing to fold.
_SIMPLE: Final = re.compile(r"([\"'([{<~*#.,:;]*)([a-z]+(?:'[a-z]+)*)([.,;:?\"')\]}>~*!]*)")
_WORDLESS: Final = re.compile(r"[0-9]{1,4}|[!-/:-?[-`{-~]+")  # a short number; punctuation but @
_DOUBLED: Final = re.compile(r"(.)\1+")
_LONG_RUN: Final = re.compile(r"(.)\1\1")
_HIDES: Final = re.compile(rf"[{re.escape(HIDING)}]")
_UNREMARKABLE: Final = re.compile(r"[ -$'-~]+")  # printable ASCII but & and %

_LONG_NUMBER: Final = 5
_PUNCTUATION_KEPT: Final = 3
_MAX_TOKEN: Final = 256
_FOLDED: Final = 1024


def tokens(text: str) -> Iterator[tuple[str, int]]:
    """The whitespace-delimited tokens of a text with their offsets; one of more than 256 characters comes in pieces."""
    for match in re.finditer(r"\S+", text):
        for start in range(match.start(), match.end(), _MAX_TOKEN):
            yield text[start : min(start + _MAX_TOKEN, match.end())], start


def read_token(token: str, known: Known, offset: int = 0, *, fuzzy: bool = True) -> list[Word]:
    """The words of one token that begins at `offset` of the original text.

    If `fuzzy`, unknown words are read as the words of abuse that they may be misspellings of: for a vocabulary that is
    large, since to a small one most innocent words are unknown.
    """
    simple = token.replace("\u2019", "'")
    if (
        simple.isascii()
        and (match := _SIMPLE.fullmatch(simple.lower()))
        and _is_plain(match[2], match[3], known, fuzzy=fuzzy)
    ):
        begin, end = offset + match.start(2), offset + match.end(2)
        found = [Word(match[2], begin, end)]
        if match[1]:
            found.insert(0, Word(match[1][:_PUNCTUATION_KEPT], offset, begin))
        if match[3]:
            found.append(Word(match[3][:_PUNCTUATION_KEPT], end, offset + len(token)))
        return found
    if _WORDLESS.fullmatch(token):
        return [Word(token if token.isdigit() else token[:_PUNCTUATION_KEPT], offset, offset + len(token))]
    if masked := mask(token, known):
        words = [Word(masked, offset, offset + len(token))]
        if masked == LINK:
            words += (Word(text, offset + start, offset + end) for text, start, end in host_words(token))
        return words
    if _UNREMARKABLE.fullmatch(token):
        return _split(Mapped.of(token.lower(), offset), known, fuzzy=fuzzy)
    return _split(fold(Mapped.of(token, offset)) if offset else _folded(token), known, fuzzy=fuzzy)


@lru_cache(_FOLDED)
def _folded(token: str) -> Mapped:
    """What needs no vocabulary is the same for every classifier, and each reads a new token soon after the last one."""
    return fold(Mapped.of(token))


def _is_plain(word: str, after: str, known: Known, *, fuzzy: bool) -> bool:
    """Whether the word is what it says: no other spelling, no misspelling, and not hidden by the stars after it."""
    if fuzzy and "*" in after:
        return False
    if known(word):
        return not (fuzzy and is_usual(word))
    if _DOUBLED.search(word) and (_LONG_RUN.search(word) or known(_DOUBLED.sub(r"\1", word))):
        return False
    return not (fuzzy and meant_unknown(word, known))


def _split(token: Mapped, known: Known, *, fuzzy: bool) -> list[Word]:
    """Punctuation before, what stands between, punctuation after."""
    begin, end = 0, len(token.text)
    while begin < end and token.text[begin] in EDGES:
        begin += 1
    while end > begin and (token.text[end - 1] in EDGES or token.text[end - 1] == "!"):
        end -= 1
    if fuzzy and begin < end and (found := _unmasked(token, begin, end, known)):
        core: Iterable[Word] = [found[0]]
        end = found[1]
    elif begin < end and (whole := whole_reading(token.cut(begin, end), known)):
        core = _meant(whole, known, fuzzy=fuzzy)
    else:
        core = _pieces(token, begin, end, known, fuzzy=fuzzy)
    return [
        *_pieces(token, 0, begin, known, fuzzy=fuzzy),
        *core,
        *_pieces(token, end, len(token.text), known, fuzzy=fuzzy),
    ]


def _unmasked(token: Mapped, begin: int, end: int, known: Known) -> tuple[Word, int] | None:
    """The word of abuse that stars and other signs hide, and where it ends; stars on both sides are for emphasis."""
    if "*" not in token.text[:begin]:
        while end < len(token.text) and token.text[end] == "*":
            end += 1
    core = token.cut(begin, end)
    if _HIDES.search(core.text) and (found := unmasked(core.text, known)):
        return _word(core, found), end
    return None


def _pieces(token: Mapped, start: int, end: int, known: Known, *, fuzzy: bool) -> Iterator[Word]:
    for match in _PIECE.finditer(token.text, start, end):
        piece = token.cut(*match.span())
        if match[0].isdigit() and len(match[0]) >= _LONG_NUMBER:
            yield _word(piece, NUMBER)
        elif match[0][0].isalnum():
            yield from _meant(best_reading(piece, known), known, fuzzy=fuzzy)
        else:
            yield _word(piece, piece.text[:_PUNCTUATION_KEPT])


def _meant(word: Mapped, known: Known, *, fuzzy: bool) -> list[Word]:
    """The words that an unknown one is a misspelling of, or itself."""
    if fuzzy and word.text.isascii() and (found := meant(word.text, known)):
        return [_word(word.cut(piece.start, piece.end), piece.text) for piece in found]
    return [_word(word)]


def _word(mapped: Mapped, text: str = "") -> Word:
    return Word(text or mapped.text, *mapped.span(0, len(mapped.text)))
