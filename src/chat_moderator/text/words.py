"""From a whitespace-delimited token to the words that it says, each with its place in the original."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from chat_moderator.text.folding import fold
from chat_moderator.text.mapped import Mapped
from chat_moderator.text.masks import EDGES, LINK, NUMBER, host_words, mask
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
_UNREMARKABLE: Final = re.compile(r"[ -$'-~]+")  # printable ASCII but & and %

_LONG_NUMBER: Final = 5
_PUNCTUATION_KEPT: Final = 3
_MAX_TOKEN: Final = 256


def tokens(text: str) -> Iterator[tuple[str, int]]:
    """The whitespace-delimited tokens of a text with their offsets; one of more than 256 characters comes in pieces."""
    for match in re.finditer(r"\S+", text):
        for start in range(match.start(), match.end(), _MAX_TOKEN):
            yield text[start : min(start + _MAX_TOKEN, match.end())], start


def read_token(token: str, known: Known, offset: int = 0) -> list[Word]:
    """The words of one token that begins at `offset` of the original text."""
    simple = token.replace("\u2019", "'")
    if simple.isascii() and (match := _SIMPLE.fullmatch(simple.lower())) and _is_plain(match[2], known):
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
        return _split(Mapped.of(token.lower(), offset), known)
    return _split(fold(Mapped.of(token, offset)), known)


def _is_plain(word: str, known: Known) -> bool:
    """Whether no other spelling of the word has to be tried."""
    return known(word) or not (_DOUBLED.search(word) and (_LONG_RUN.search(word) or known(_DOUBLED.sub(r"\1", word))))


def _split(token: Mapped, known: Known) -> list[Word]:
    """Punctuation before, what stands between, punctuation after."""
    begin, end = 0, len(token.text)
    while begin < end and token.text[begin] in EDGES:
        begin += 1
    while end > begin and (token.text[end - 1] in EDGES or token.text[end - 1] == "!"):
        end -= 1
    whole = whole_reading(token.cut(begin, end), known) if begin < end else None
    words = list(_pieces(token, 0, begin, known))
    words += [_word(whole)] if whole else _pieces(token, begin, end, known)
    words += _pieces(token, end, len(token.text), known)
    return words


def _pieces(token: Mapped, start: int, end: int, known: Known) -> Iterator[Word]:
    for match in _PIECE.finditer(token.text, start, end):
        piece = token.cut(*match.span())
        if match[0].isdigit() and len(match[0]) >= _LONG_NUMBER:
            yield _word(piece, NUMBER)
        elif match[0][0].isalnum():
            yield _word(best_reading(piece, known))
        else:
            yield _word(piece, piece.text[:_PUNCTUATION_KEPT])


def _word(mapped: Mapped, text: str = "") -> Word:
    return Word(text or mapped.text, *mapped.span(0, len(mapped.text)))
