"""A list of words and phrases in thirteen languages.

It only ever hints: homonyms, names and quotations make a list wrong too often to act on.
"""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate
from pathlib import Path
from typing import Final

import numpy as np
from ahocorasick_rs import AhoCorasick, Implementation
from numpy.typing import NDArray

from chat_moderator.errors import ConfigError
from chat_moderator.text.bidi import OVERRIDE
from chat_moderator.text.reading import read
from chat_moderator.text.repeats import has_run
from chat_moderator.text.words import Word, read_token, tokens
from chat_moderator.types import LABELS, Span

BUNDLED: Final = Path(__file__).parent / "weights" / "lexicon.tsv"

_ALLOW: Final = "allow"
_FIELDS: Final = 4
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ENOUGH: Final = 3
"""Letters in a row that may spell a word."""

_LONE_LETTERS: Final = re.compile(r"(?<!\S)\S \S \S(?!\S)")
_REMEMBERED: Final = 65_536
_LONGEST_REMEMBERED: Final = 48


class _Term:
    """A term of the list: the columns it speaks for and how strongly; none if it allows."""

    def __init__(self, columns: list[int], severity: float) -> None:
        self.columns = columns
        self.severity = severity


class _Readings(dict[str, str]):
    """Raw token to what it says. Bounded: when full it starts anew, and very long tokens are not kept."""

    def __init__(self, known: AbstractSet[str]) -> None:
        self._known = known

    def __missing__(self, token: str) -> str:
        reading = token.lower()
        # Most tokens are plain words, of which no other spelling has to be tried.
        if not (token.isascii() and token.isalpha()) or (reading not in self._known and has_run(reading)):
            reading = _line(
                word
                for piece, _ in tokens(token)
                for word in read_token(piece, self._known.__contains__, fuzzy=False)
                if word.speaks
            ).strip()
        if len(self) >= _REMEMBERED:
            self.clear()
        if len(token) <= _LONGEST_REMEMBERED:
            self[token] = reading
        return reading


class _Notable(dict[str, int]):
    """Raw token to how much it asks for a closer look, `_ENOUGH` alone sufficing; bounded as `_Readings` is."""

    def __init__(self, look: Callable[[str], int]) -> None:
        self._look = look

    def __missing__(self, token: str) -> int:
        notable = self._look(token)
        if len(self) >= _REMEMBERED:
            self.clear()
        if len(token) <= _LONGEST_REMEMBERED:
            self[token] = notable
        return notable


class LexiconClassifier:
    """Scores by listed terms (`Classifier`): the severity of the worst term found, by label.

    Args:
        terms: tab-separated lines of language, labels (comma-separated, or `allow`), severity 0 to 1, and term.

    Raises:
        ConfigError: the file cannot be read or one of its lines is not as above.
    """

    labels: tuple[str, ...] = LABELS

    def __init__(self, terms: Path = BUNDLED) -> None:
        try:
            data = terms.read_bytes()
            lines = data.decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(str(terms), f"cannot be read as a word list: {error}") from error
        self.version = f"lexicon-{hashlib.sha256(data).hexdigest()[:12]}"
        self._terms: list[_Term] = []
        self._words: set[str] = set()
        self._longest: set[str] = set()
        patterns: list[str] = []
        for number, line in enumerate(lines, start=1):
            if line and not line.startswith("#"):
                term, found = _parse(line, f"{terms}:{number}")
                patterns.append(term if _UNSPACED.search(term) else f" {term} ")
                self._terms.append(found)
                self._words.update(term.split())
                self._longest.add(max(term.split(), key=len))
        self._readings = _Readings(self._words)
        self._notable = _Notable(self._weigh)
        self._automaton = AhoCorasick(patterns, implementation=Implementation.ContiguousNFA)

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(len(texts), len(labels)), each 0 to 1; a row never depends on its neighbours."""
        scores = np.zeros((len(texts), len(self.labels)), np.float32)
        notable = self._notable.__getitem__
        rows = [row for row, text in enumerate(texts) if sum(map(notable, text.split())) >= _ENOUGH]
        lines = [self._line(texts[row]) for row in rows]
        ends = list(accumulate(len(line) + 1 for line in lines))
        for term, start, _ in self._found("\n".join(lines)):
            row = rows[bisect_right(ends, start)]
            for column in term.columns:
                scores[row, column] = max(scores[row, column], term.severity)
        return scores

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """Every term found, by label, in the original text."""
        return [self._explain(text) for text in texts]

    def _weigh(self, token: str) -> int:
        """Whether a term may be here: a token reads as its longest word, holds an unspaced one, or is a lone letter."""
        if OVERRIDE in token:
            return _ENOUGH
        reading = self._readings[token]
        if reading.isascii() and " " not in reading:  # one spaced word, which is a term or is not
            return _ENOUGH if reading in self._longest else int(len(reading) == 1)
        words = reading.split()
        if not self._longest.isdisjoint(words) or self._automaton.find_matches_as_indexes(reading):
            return _ENOUGH
        return sum(len(word) == 1 for word in words)

    def _line(self, text: str) -> str:
        """What the text says, words divided by one space, a space at either end."""
        line = f" {' '.join(filter(None, map(self._readings.__getitem__, text.split())))} "
        if OVERRIDE in text or _LONE_LETTERS.search(line):
            return _line(self._read(text))
        return line

    def _read(self, text: str) -> list[Word]:
        return [word for word in read(text, self._words.__contains__, fuzzy=False) if word.speaks]

    def _found(self, comparable: str) -> Iterator[tuple[_Term, int, int]]:
        matches = self._automaton.find_matches_as_indexes(comparable, overlapping=True)
        if not matches:
            return
        allowed = [(start, end) for index, start, end in matches if not self._terms[index].columns]
        for index, start, end in matches:
            term = self._terms[index]
            if term.columns and not any(begin <= start and end <= finish for begin, finish in allowed):
                yield term, start, end

    def _explain(self, text: str) -> tuple[Span, ...]:
        words = self._read(text)
        line = _line(words)
        begins = [0, *accumulate(len(word.text) + 1 for word in words)][:-1]
        spans: set[Span] = set()
        for term, start, end in self._found(line):
            # Place 0 of the line is a space; the spaces around a term are not part of it.
            first = bisect_right(begins, start - (line[start] != " ")) - 1
            last = bisect_right(begins, end - 2 - (line[end - 1] == " ")) - 1
            begin = min(word.start for word in words[first : last + 1])
            finish = max(word.end for word in words[first : last + 1])
            spans.update(Span(begin, finish, LABELS[column]) for column in term.columns)
        return tuple(sorted(spans, key=lambda span: (span.start, span.end, span.label)))


def _line(words: Iterable[Word]) -> str:
    return f" {' '.join(word.text for word in words)} "


def _parse(line: str, place: str) -> tuple[str, _Term]:
    fields = line.split("\t")
    if len(fields) != _FIELDS or not fields[3].strip():
        raise ConfigError(place, "expected language, labels, severity and term, divided by tabs")
    _, labels, severity, term = fields
    names = [] if labels == _ALLOW else labels.split(",")
    if unknown := [name for name in names if name not in LABELS]:
        raise ConfigError(place, f"unknown label {unknown[0]!r}; allowed are {', '.join(LABELS)} and {_ALLOW}")
    try:
        value = float(severity)
    except ValueError as error:
        raise ConfigError(place, f"severity must be a number from 0 to 1, not {severity!r}") from error
    if not 0 <= value <= 1:
        raise ConfigError(place, f"severity must be a number from 0 to 1, not {severity!r}")
    return term.strip().lower(), _Term([LABELS.index(name) for name in names], value)
