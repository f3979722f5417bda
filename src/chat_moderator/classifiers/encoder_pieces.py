"""Texts to piece ids: the most probable split of each word under a unigram language model (Kudo, 2018), remembered."""

import re
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Final

from ahocorasick_rs import AhoCorasick, Implementation

from chat_moderator.text.bidi import OVERRIDE
from chat_moderator.text.masks import LINK, NUMBER, USER
from chat_moderator.text.reading import rewrite
from chat_moderator.text.readings import Known
from chat_moderator.text.spacing import ENOUGH, fragment_of, stands_alone
from chat_moderator.text.words import read_token, tokens

START: Final = "\u2581"
"""Marks a piece that begins a word."""
UNKNOWN: Final = 0
"""The id that stands for characters no piece covers."""

_TOKEN: Final = re.compile(r"\S+")
_READ_AS: Final = {LINK: "http", USER: "@", NUMBER: "0"}
_REMEMBERED: Final = 65_536
_LONGEST_REMEMBERED: Final = 48
_UNKNOWN_PENALTY: Final = 10.0
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NO_CHARACTER: Final = "\U0010ffff"


class _Memo(dict[str, tuple[int, ...]]):
    """Raw token to piece ids; `alone` are lone letters among the tokens, the others what may be a part."""

    def __init__(self, pieces: "Pieces") -> None:
        self._pieces = pieces
        self.alone: set[str] = set()
        self.begins: set[str] = set()
        self.follows: set[str] = set()
        self.wordless: set[str] = set()

    def __missing__(self, token: str) -> tuple[int, ...]:
        found = self._pieces.learn(token)
        if len(token) <= _LONGEST_REMEMBERED:
            if stands_alone(token):
                self.alone.add(token)
            part = fragment_of(token, self._pieces.known)
            for holds, those in zip(part, (self.begins, self.follows, self.wordless), strict=True):
                if holds:
                    those.add(token)
            self[token] = found
        return found


class Pieces:
    """Reads texts as piece ids; several threads may. It forgets all tokens and learns anew at `remembered` of them.

    Args:
        vocabulary: the pieces, by id; the first stands for what is unknown.
        scores: the log-probability of each piece.
        known: whether a word is in the vocabulary of the text layer, which decides between doubtful spellings.
        remembered: how many tokens.
    """

    def __init__(
        self, vocabulary: Sequence[str], scores: Sequence[float], known: Known, *, remembered: int = _REMEMBERED
    ) -> None:
        self.vocabulary = tuple(vocabulary)
        self.known = known
        self._scores = scores
        self._worst = min(scores, default=0.0) - _UNKNOWN_PENALTY
        self._automaton = AhoCorasick(self.vocabulary, implementation=Implementation.ContiguousNFA)
        self._remembered = remembered
        self._memo = _Memo(self)

    def read(self, text: str) -> list[int]:
        """The piece ids of a text, disguises undone."""
        found, memo = text.split(), self._fresh()
        ids = list(chain.from_iterable(map(memo.__getitem__, found)))
        if not self._hides(text, found, memo):
            return ids
        return list(chain.from_iterable(map(memo.__getitem__, rewrite(text, self.known).text.split())))

    def placed(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The same ids, and where in the original the whole token of each begins and ends (exclusive)."""
        found, memo = text.split(), self._fresh()
        for token in found:
            memo[token]
        mapped = rewrite(text, self.known) if self._hides(text, found, memo) else None
        ids: list[int] = []
        places: list[tuple[int, int]] = []
        for match in _TOKEN.finditer(mapped.text if mapped else text):
            pieces = memo[match[0]]
            ids += pieces
            places += [mapped.span(*match.span()) if mapped else match.span()] * len(pieces)
        return ids, places

    def learn(self, token: str) -> tuple[int, ...]:
        """The piece ids of one token, disguises undone."""
        ids: list[int] = []
        parts = ((token, 0),) if len(token) <= _LONGEST_REMEMBERED else tokens(token)
        for part, offset in parts:
            end = -1
            for word in read_token(part, self.known, offset):
                text = _READ_AS.get(word.text, word.text)
                ids += self.split(text if word.start == end else START + text)
                end = word.end
        return tuple(ids)

    def split(self, word: str) -> list[int]:
        """The ids of the most probable split of one word; what no piece covers is one unknown a run."""
        size, scores, worst = len(word), self._scores, self._worst
        best = [0.0] * (size + 1)
        begin = [*range(-1, size)]
        chosen = [UNKNOWN] * (size + 1)
        reached = 0
        for number, start, end in self._found(word):
            while reached < end:  # what no piece covers
                best[reached + 1] = best[reached] + worst
                reached += 1
            score = best[start] + scores[number]
            if score > best[end] and number:
                best[end], begin[end], chosen[end] = score, start, number
        ids: list[int] = []
        end = size
        while end:
            if not (ids and ids[-1] == chosen[end] == UNKNOWN):
                ids.append(chosen[end])
            end = begin[end]
        return ids[::-1]

    def _found(self, word: str) -> list[tuple[int, int, int]]:
        """Every piece in the word with its begin and end, by the end, then the longest first."""
        try:
            return self._automaton.find_matches_as_indexes(word, overlapping=True)
        except UnicodeEncodeError:  # no piece holds half a character
            return self._automaton.find_matches_as_indexes(_SURROGATE.sub(_NO_CHARACTER, word), overlapping=True)

    def _fresh(self) -> _Memo:
        """The memo, a new one where the old is full; whoever reads goes on with the one that it began with."""
        memo = self._memo
        if len(memo) >= self._remembered:
            memo = self._memo = _Memo(self)
        return memo

    def _hides(self, text: str, found: Sequence[str], memo: _Memo) -> bool:
        """Whether a word is hidden in more than one token: reversed, in lone letters, or cut in two."""
        if OVERRIDE in text:
            return True
        if len(found) >= ENOUGH and not memo.alone.isdisjoint(found):
            alone = [token in memo.alone for token in found]
            if any(map(all, zip(*(alone[start:] for start in range(ENOUGH)), strict=False))):
                return True
        if memo.wordless.isdisjoint(found):
            return False
        return any(
            first in memo.begins and second in memo.follows and (first in memo.wordless or second in memo.wordless)
            for first, second in pairwise(found)
        )
