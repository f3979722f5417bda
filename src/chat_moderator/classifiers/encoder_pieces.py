"""Texts to piece ids: the most probable split of each word under a unigram language model (Kudo, 2018), remembered."""

import re
from collections.abc import Sequence
from typing import Final

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


class Pieces:
    """Reads texts as piece ids. One thread at a time; it forgets all tokens and learns anew at `remembered` of them.

    Args:
        pieces: the vocabulary, by id; the first stands for what is unknown.
        scores: the log-probability of each piece.
        known: whether a word is in the vocabulary of the text layer, which decides between doubtful spellings.
        remembered: how many tokens.
    """

    def __init__(
        self, pieces: Sequence[str], scores: Sequence[float], known: Known, *, remembered: int = _REMEMBERED
    ) -> None:
        self._ids = {piece: number for number, piece in enumerate(pieces) if number != UNKNOWN}
        self._scores = scores
        self._longest = max(map(len, self._ids), default=1)
        self._worst = min(scores, default=0.0) - _UNKNOWN_PENALTY
        self._known = known
        self._remembered = remembered
        self._memo: dict[str, tuple[int, ...]] = {}
        self._alone: set[str] = set()
        self._fragments: set[str] = set()

    def read(self, text: str) -> list[int]:
        """The piece ids of a text, disguises undone."""
        found = text.split()
        ids = self._join(found)
        return self._join(rewrite(text, self._known).text.split()) if self._hides(text, found) else ids

    def placed(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The same ids, and where in the original the whole token of each begins and ends (exclusive)."""
        found = text.split()
        self._join(found)
        mapped = rewrite(text, self._known) if self._hides(text, found) else None
        ids: list[int] = []
        places: list[tuple[int, int]] = []
        for match in _TOKEN.finditer(mapped.text if mapped else text):
            pieces = self._join([match[0]])
            ids += pieces
            places += [mapped.span(*match.span()) if mapped else match.span()] * len(pieces)
        return ids, places

    def _hides(self, text: str, found: Sequence[str]) -> bool:
        """Whether a word is hidden in more than one token: reversed, in lone letters, or cut in two."""
        return (
            OVERRIDE in text
            or not self._fragments.isdisjoint(found)
            or (
                len(found) >= ENOUGH
                and not self._alone.isdisjoint(found)
                and sum(token in self._alone for token in found) >= ENOUGH
            )
        )

    def _join(self, found: Sequence[str]) -> list[int]:
        if len(self._memo) >= self._remembered:
            self._memo.clear()
            self._alone.clear()
            self._fragments.clear()
        ids: list[int] = []
        memo = self._memo
        for token in found:
            pieces = memo.get(token)
            ids += self._learn(token) if pieces is None else pieces
        return ids

    def _learn(self, token: str) -> tuple[int, ...]:
        ids: list[int] = []
        for part, offset in tokens(token):
            end = -1
            for word in read_token(part, self._known, offset):
                text = _READ_AS.get(word.text, word.text)
                ids += self.split(text if word.start == end else START + text)
                end = word.end
        pieces = tuple(ids)
        if len(token) <= _LONGEST_REMEMBERED:
            self._memo[token] = pieces
            if stands_alone(token):
                self._alone.add(token)
            if fragment_of(token, self._known).wordless:
                self._fragments.add(token)
        return pieces

    def split(self, word: str) -> list[int]:
        """The ids of the most probable split of one word; what no piece covers is one unknown a run."""
        size = len(word)
        best = [0.0] + [-1e30] * size
        begin = [0] * (size + 1)
        chosen = [UNKNOWN] * (size + 1)
        for start in range(size):
            so_far = best[start]
            for end in range(start + 1, min(start + self._longest, size) + 1):
                number = self._ids.get(word[start:end])
                if number is None:
                    if end > start + 1:
                        continue
                    number, score = UNKNOWN, so_far + self._worst
                else:
                    score = so_far + self._scores[number]
                if score > best[end]:
                    best[end], begin[end], chosen[end] = score, start, number
        ids: list[int] = []
        end = size
        while end:
            if not (ids and ids[-1] == chosen[end] == UNKNOWN):
                ids.append(chosen[end])
            end = begin[end]
        return ids[::-1]
