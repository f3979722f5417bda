"""From a whitespace-delimited token to the words that it says, each with its place in the original."""

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from chat_moderator.text.alphabets import fold_alphabets
from chat_moderator.text.confusables import fold_confusables, look_latin, turn_around
from chat_moderator.text.entities import decode_entities
from chat_moderator.text.leetspeak import SIGNS, leet_readings
from chat_moderator.text.mapped import Mapped
from chat_moderator.text.marks import compose_marks, strip_marks
from chat_moderator.text.repeats import has_long_run, repeat_readings

Known = Callable[[str], bool]
"""Whether the caller has the word in its vocabulary; it decides between doubtful readings."""

LINK: Final = "\x11link"
USER: Final = "\x11user"
NUMBER: Final = "\x11number"


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
_PIECE: Final = re.compile(
    rf"{_LETTER}+(?:'{_LETTER}+|\*+{_LETTER}*)*|[\u2190-\u2bff\U0001f000-\U0001faff]|[^\w\u2190-\u2bff\U0001f000-\U0001faff]+|_+"
)
_SIMPLE: Final = re.compile(r"([\"'([{<~*#.,:;]*)([a-z]+(?:'[a-z]+)*)([.,;:?\"')\]}>~*!]*)")
_DOUBLED: Final = re.compile(r"(.)\1+")
_LONG_RUN: Final = re.compile(r"(.)\1\1")
_UNREMARKABLE: Final = re.compile(r"[ -$'-~]+")  # printable ASCII but & and %
_EDGES: Final = ".,;:?\"'()[]{}<>~-_/\\…“”‘’«»、。，！？*#=^`"
_DOTTED: Final = re.compile(r"[^\W_](?:[\W_]{1,3}[^\W_]){2,}")
_SCHEME: Final = re.compile(r"(?:[a-z][a-z0-9+.-]{1,12}://|www\.)\S*", re.IGNORECASE)
_DOMAIN: Final = re.compile(
    r"(?:[\w-]+\.)+(?:com|net|org|gg|tv|io|ru|xyz|me|link|shop|info|example|test|co|de|uk|gift|app|dev)(?:[/?:]\S*)?",
    re.IGNORECASE,
)
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_LONG_NUMBER: Final = 5
_PUNCTUATION_KEPT: Final = 3
_MAX_TOKEN: Final = 256


def tokens(text: str) -> Iterator[tuple[str, int]]:
    """The whitespace-delimited tokens of a text with their offsets; a very long one in pieces."""
    for match in re.finditer(r"\S+", text):
        for start in range(match.start(), match.end(), _MAX_TOKEN):
            yield text[start : min(start + _MAX_TOKEN, match.end())], start


def read_token(token: str, known: Known, offset: int = 0) -> list[Word]:
    """The words of one token that begins at `offset` of the original text."""
    plain = token.replace("\u2019", "'")
    if plain.isascii() and (simple := _SIMPLE.fullmatch(plain.lower())):
        word = simple[2]
        if known(word) or not _DOUBLED.search(word) or not (_LONG_RUN.search(word) or known(_DOUBLED.sub(r"\1", word))):
            begin, end = offset + simple.start(2), offset + simple.end(2)
            found = [Word(word, begin, end)]
            if simple[1]:
                found.insert(0, Word(simple[1][:_PUNCTUATION_KEPT], offset, begin))
            if simple[3]:
                found.append(Word(simple[3][:_PUNCTUATION_KEPT], end, offset + len(token)))
            return found
    if mask := _mask(token, known):
        return [Word(mask, offset, offset + len(token)), *(_host(token, offset) if mask == LINK else ())]
    if _UNREMARKABLE.fullmatch(token):
        return _split(Mapped.of(token.lower(), offset), known)
    mapped = compose_marks(fold_alphabets(decode_entities(Mapped.of(token, offset))))
    text = fold_confusables(mapped.text)
    turned = turn_around(text)
    if turned != text:
        mapped = Mapped(turned, mapped.starts[::-1], mapped.ends[::-1])
    else:
        mapped = mapped._replace(text=text)
    return _split(mapped, known)


def _mask(token: str, known: Known) -> str:
    if _SCHEME.fullmatch(token) or _EMAIL.fullmatch(token.strip(_EDGES)) or _DOMAIN.fullmatch(token.strip(_EDGES)):
        return LINK
    if token[0] == "@" and len(token) > 1:
        name = token[1:].strip(_EDGES).lower()
        return "" if not name or known("a" + name.replace("$", "s")) else USER
    return ""


def _host(token: str, offset: int) -> Iterator[Word]:
    """The words of a link's host: a message can hide in them."""
    begin = token.find("://") + 3 if "://" in token else 0
    end = min((place for place in (token.find(sign, begin) for sign in "/?#") if place >= 0), default=len(token))
    for match in re.finditer(r"[^\W\d_]{3,}", token[begin:end]):
        yield Word(match[0].lower(), offset + begin + match.start(), offset + begin + match.end())


def _split(mapped: Mapped, known: Known) -> list[Word]:
    core_start, core_end = 0, len(mapped.text)
    while core_start < core_end and mapped.text[core_start] in _EDGES:
        core_start += 1
    while core_end > core_start and mapped.text[core_end - 1] in _EDGES + "!":
        core_end -= 1
    words = list(_pieces(mapped, 0, core_start, known))
    core = Mapped(*(part[core_start:core_end] for part in mapped))
    whole = _whole(core, known) if core.text else None
    words += [whole] if whole else _pieces(mapped, core_start, core_end, known)
    words += _pieces(mapped, core_end, len(mapped.text), known)
    return words


def _whole(core: Mapped, known: Known) -> Word | None:
    """The token as one word where signs within it are letters or mere separators."""
    if core.text.isalpha():
        return _best(core, known)
    letters = [index for index, character in enumerate(core.text) if character.isalnum()]
    if not letters:
        return None
    if _DOTTED.fullmatch(core.text) and not core.text.isalnum():
        return _best(_pick(core, letters), known)
    if core.text.isdigit():
        return None
    if known(core.text):
        return Word(core.text, *core.span(0, len(core.text)))
    for reading in _sign_readings(core):
        if found := _known_reading(reading, known):
            return found
    if len(letters) < len(core.text) and "*" not in core.text:
        joined = _pick(core, letters)
        parts = re.findall(r"[^\W_]+", core.text)
        if len(joined.text) > 3 and not all(known(part) for part in parts):
            found = _known_reading(joined, known)
            if found is None:
                found = next(filter(None, (_known_reading(reading, known) for reading in _sign_readings(joined))), None)
            if found:
                return found
    if re.search(r"[^\W\d_][0-9@$!|+]+[^\W\d_]", core.text) and (readings := _sign_readings(core)):
        rest = readings[0]
        if rest.text.isalpha():
            return _best(rest, known)
    return None


def _sign_readings(core: Mapped) -> list[Mapped]:
    return [core._replace(text=reading) for reading in leet_readings(core.text)]


def _pick(mapped: Mapped, indexes: list[int]) -> Mapped:
    return Mapped.join((mapped.text[index], mapped.starts[index], mapped.ends[index]) for index in indexes)


def _best(word: Mapped, known: Known) -> Word:
    """The first reading that is known, or the word with held letters shortened."""
    found = _known_reading(word, known)
    if found:
        return found
    if has_long_run(word.text):
        word = next(repeat_readings(word))
    return Word(word.text, *word.span(0, len(word.text)))


def _known_reading(word: Mapped, known: Known) -> Word | None:
    candidates = [word, *repeat_readings(word)]
    if not word.text.isascii():
        for fold in (strip_marks, look_latin):
            folded = fold(word.text)
            if folded != word.text and folded.isascii():
                candidates += [word._replace(text=folded), *repeat_readings(word._replace(text=folded))]
    for candidate in candidates:
        if known(candidate.text):
            return Word(candidate.text, *candidate.span(0, len(candidate.text)))
    return None


def _pieces(mapped: Mapped, start: int, end: int, known: Known) -> Iterator[Word]:
    for match in _PIECE.finditer(mapped.text, start, end):
        piece = Mapped(*(part[match.start() : match.end()] for part in mapped))
        if match[0].isdigit() and len(match[0]) >= _LONG_NUMBER:
            yield Word(NUMBER, *piece.span(0, len(piece.text)))
        elif match[0][0].isalnum():
            yield _best(piece, known)
        else:
            yield Word(piece.text[:_PUNCTUATION_KEPT], *piece.span(0, len(piece.text)))
