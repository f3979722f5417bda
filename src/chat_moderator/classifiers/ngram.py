"""Character n-grams and word pairs, linear, all labels at once; what a word adds is computed once and remembered."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers.ngram_weights import BUNDLED, NgramWeights
from chat_moderator.text.bidi import OVERRIDE
from chat_moderator.text.reading import read, rewrite
from chat_moderator.text.spacing import ENOUGH, fragment_of, holds_cut, stands_alone
from chat_moderator.text.words import Word, read_token, tokens
from chat_moderator.types import Span, Struct

_REMEMBERED: Final = 65_536
_LONGEST_REMEMBERED: Final = 48
_CHUNK: Final = 1024
_CHUNK_CHARACTERS: Final = 262_144
_SHORT: Final = 12
_VARIED: Final = 0.6
"""Where fewer than 60% of more than 12 tokens differ, each counts once: said ten times is not ten times as bad."""
_WINDOW: Final = 20
_STEP: Final = 10

_SPEAKS: Final = 1
_ALONE: Final = 2
_OVERRIDES: Final = 4
_BEGINS: Final = 8
_FOLLOWS: Final = 16
_WORDLESS: Final = 32

_NOTABLE_SCORE: Final = 0.5
_NOTABLE_SHARE: Final = 0.2
"""A word is shown if it carries this share of what the strongest word carries."""


class Config(Struct, frozen=True):
    """`model` is "bundled" or a folder with ngram.npz and ngram.json, as written by `chat-moderator train`."""

    model: str = "bundled"


class _Memo(dict[str, int]):
    """Raw token to row.

    A token that is new gets the next row and waits in `pending`; a very long one is new every time.
    """

    def __init__(self) -> None:
        self.pending: list[str] = []
        self.rows = 0

    def __missing__(self, token: str) -> int:
        row = self.rows
        self.rows += 1
        self.pending.append(token)
        if len(token) <= _LONGEST_REMEMBERED:
            self[token] = row
        return row


class NgramClassifier:
    """Scores by hashed n-grams (`Classifier`). One thread at a time; forked copies are independent.

    Memory is bounded: at 65,536 remembered words everything is forgotten and learnt anew.

    Attributes:
        experimental: labels that had too little data to be trusted.
        looked_up: tokens read so far.
        learnt: those of them that were not remembered.

    Raises:
        ConfigError: the folder is missing, or its files are not what the metadata names.
    """

    def __init__(self, config: Config | None = None) -> None:
        model = (config or Config()).model
        self._weights = NgramWeights(BUNDLED if model == "bundled" else Path(model) / BUNDLED.name)
        self.labels: tuple[str, ...] = self._weights.metadata.labels
        self.experimental: tuple[str, ...] = self._weights.metadata.experimental
        self.version = f"ngram-{self._weights.metadata.sha256[:12]}"
        self.looked_up = self.learnt = 0
        self._forget()

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(len(texts), len(labels)), each 0 to 1; a row never depends on its neighbours."""
        scores = np.zeros((len(texts), len(self.labels)), np.float32)
        for begin, end in _chunks(texts):
            scores[begin:end] = self._score(texts[begin:end])
        return scores

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """The words that speak most for each label of 0.5 or more, or for the highest one; neighbours are one span."""
        return [self._explain(text, scores) for text, scores in zip(texts, self.score(texts), strict=True)]

    def _forget(self) -> None:
        self._memo = _Memo()
        self._sums = np.zeros((_REMEMBERED, len(self.labels)), np.float32)
        self._counts = np.zeros(_REMEMBERED, np.float32)
        self._first = np.zeros(_REMEMBERED, np.uint64)
        self._last = np.zeros(_REMEMBERED, np.uint64)
        self._flags = np.zeros(_REMEMBERED, np.uint8)

    def _score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows, lengths = self._look_up(texts)
        if odd := self._odd(texts, rows, lengths):
            texts = list(texts)
            for index in odd:
                texts[index] = rewrite(texts[index], self._weights.known).text
            rows, lengths = self._look_up(texts)
        sums, counts = self._tokens(rows, lengths)
        scores = np.zeros((len(texts), len(self.labels)), np.float32)
        filled = np.flatnonzero(lengths)
        if not len(filled):
            return scores
        starts = np.cumsum(lengths) - lengths
        begin = starts[filled]
        scores[filled] = self._weights.probabilities(np.add.reduceat(sums, begin), np.add.reduceat(counts, begin))
        long = np.flatnonzero(lengths > _WINDOW)
        if len(long):
            scores[long] = self._worst_stretches(sums, counts, starts[long], lengths[long])
        return scores

    def _look_up(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The memo row of every token of every text, one after another, and the number of tokens of each text."""
        if self._memo.rows >= _REMEMBERED:
            self._forget()
        found: list[str] = []
        lengths = np.zeros(len(texts), np.int64)
        for index, text in enumerate(texts):
            split = text.split()
            if len(split) > _SHORT and len(distinct := dict.fromkeys(split)) < _VARIED * len(split):
                split = list(distinct)
            lengths[index] = len(split)
            found += split
        rows = np.fromiter(map(self._memo.__getitem__, found), np.int64, len(found))
        self.looked_up += len(found)
        if self._memo.pending:
            self.learnt += len(self._memo.pending)
            self._learn()
        return rows, lengths

    def _learn(self) -> None:
        """Computes what each pending token adds, whatever text it stands in."""
        pending, self._memo.pending = self._memo.pending, []
        end = self._memo.rows
        begin = end - len(pending)
        if end > len(self._counts):
            self._grow(end)
        self._sums[begin:end] = 0
        self._counts[begin:end] = 0
        self._flags[begin:end] = [self._flagged(token) for token in pending]
        read_as = [_read(token, self._weights) for token in pending]
        words = [word for token_words in read_as for word in token_words]
        if not words:
            return
        row_of = np.repeat(np.arange(begin, end), [len(token_words) for token_words in read_as])
        sums, counts, hashes = self._weights.word_shares([word.text for word in words])
        speaking = np.flatnonzero([word.speaks for word in words])
        self._add_pairs(sums, counts, speaking, hashes[speaking], hashes[speaking], row_of[speaking])
        starts = np.flatnonzero(np.diff(row_of, prepend=-1))
        self._sums[row_of[starts]] = np.add.reduceat(sums, starts)
        self._counts[row_of[starts]] = np.add.reduceat(counts, starts)
        self._flags[row_of[speaking]] |= _SPEAKS
        self._last[row_of[speaking]] = hashes[speaking]
        self._first[row_of[speaking[::-1]]] = hashes[speaking[::-1]]

    def _flagged(self, token: str) -> int:
        flags = (_ALONE if stands_alone(token) else 0) | (_OVERRIDES if OVERRIDE in token else 0)
        if len(token) <= _LONGEST_REMEMBERED:
            part = fragment_of(token, self._weights.known)
            flags |= _BEGINS * part.begins | _FOLLOWS * part.follows | _WORDLESS * part.wordless
        return flags

    def _grow(self, rows: int) -> None:
        """Makes room for one chunk beyond what is remembered; it is given back at the next `_forget`."""
        more = rows - len(self._counts)
        self._sums = np.concatenate([self._sums, np.zeros((more, len(self.labels)), np.float32)])
        self._counts = np.concatenate([self._counts, np.zeros(more, np.float32)])
        self._first = np.concatenate([self._first, np.zeros(more, np.uint64)])
        self._last = np.concatenate([self._last, np.zeros(more, np.uint64)])
        self._flags = np.concatenate([self._flags, np.zeros(more, np.uint8)])

    def _odd(self, texts: Sequence[str], rows: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[int]:
        """The texts that hold an override, lone letters in a row or a part of a word: more than one token tells."""
        flags = self._flags[rows]
        if not (flags & (_ALONE | _OVERRIDES | _WORDLESS)).any():
            return []
        text_of = np.repeat(np.arange(len(lengths)), lengths)
        odd = {int(index) for index in text_of[(flags & _OVERRIDES) != 0]}
        before, after = flags[:-1], flags[1:]
        cut = ((before & _BEGINS) != 0) & ((after & _FOLLOWS) != 0) & (((before | after) & _WORDLESS) != 0)
        # Most neighbours that might be parts of a word are not, and reading a text anew costs more than a look.
        may_be_cut = set(text_of[:-1][cut & (text_of[:-1] == text_of[1:])].tolist()) - odd
        odd.update(index for index in may_be_cut if holds_cut(texts[index].split(), self._weights.known))
        alone = (flags & _ALONE) != 0
        run = alone[: -ENOUGH + 1].copy()
        for step in range(1, ENOUGH):
            run &= alone[step : len(alone) - ENOUGH + 1 + step]
        run &= text_of[: -ENOUGH + 1] == text_of[ENOUGH - 1 :]
        return sorted(odd.union(text_of[: -ENOUGH + 1][run].tolist()))

    def _tokens(
        self, rows: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What each token adds in its place: its own share and that of the pair it begins."""
        sums = self._sums[rows]
        counts = self._counts[rows]
        speaking = np.flatnonzero(self._flags[rows] & _SPEAKS)
        spoken = rows[speaking]
        text_of = np.repeat(np.arange(len(lengths)), lengths)[speaking]
        self._add_pairs(sums, counts, speaking, self._first[spoken], self._last[spoken], text_of)
        return sums, counts

    def _add_pairs(  # noqa: PLR0917 -- parallel arrays
        self,
        sums: NDArray[np.float32],
        counts: NDArray[np.float32],
        places: NDArray[np.int64],
        first: NDArray[np.uint64],
        last: NDArray[np.uint64],
        within: NDArray[np.int64],
    ) -> None:
        """Adds pairs of neighbours at `places` within the same text, each to the share of the word that begins it."""
        same = within[:-1] == within[1:]
        pairs = np.where(same, self._weights.pair_rows(last[:-1], first[1:]), 0)
        counts[places[:-1]] += same
        telling = np.flatnonzero(pairs)
        sums[places[telling]] += self._weights.values[pairs[telling]]

    def _worst_stretches(
        self,
        sums: NDArray[np.float32],
        counts: NDArray[np.float32],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """For each long text the highest scores of any 20 tokens in a row, so that no padding drowns what was said."""
        stretches = (lengths - _WINDOW + _STEP - 1) // _STEP + 1
        first = np.cumsum(stretches) - stretches
        step = np.arange(stretches.sum()) - np.repeat(first, stretches)
        begin = np.repeat(starts, stretches) + step * _STEP
        end = np.minimum(begin + _WINDOW, np.repeat(starts + lengths, stretches))
        # Whole numbers below 2**53 keep their differences exact.
        total = np.concatenate([np.zeros((1, sums.shape[1])), np.cumsum(sums, axis=0, dtype=np.float64)])
        features = np.concatenate([np.zeros(1), np.cumsum(counts, dtype=np.float64)])
        scores = self._weights.probabilities(
            (total[end] - total[begin]).astype(np.float32), (features[end] - features[begin]).astype(np.float32)
        )
        highest: NDArray[np.float32] = np.maximum.reduceat(scores, first)
        return highest

    def _explain(self, text: str, scores: NDArray[np.float32]) -> tuple[Span, ...]:
        words = read(text, self._weights.known)
        if not words:
            return ()
        sums, counts, hashes = self._weights.word_shares([word.text for word in words])
        speaking = np.flatnonzero([word.speaks for word in words])
        pairs = np.zeros_like(sums)
        within = np.zeros(len(speaking), np.int64)
        self._add_pairs(pairs, counts, speaking, hashes[speaking], hashes[speaking], within)
        # A pair speaks through both of its words.
        sums += pairs
        sums[speaking[1:]] += pairs[speaking[:-1]]
        evidence = sums * self._weights.scale
        shown = np.flatnonzero(scores >= _NOTABLE_SCORE)
        spans: list[Span] = []
        for label in shown if len(shown) else [int(scores.argmax())]:
            spans += _spans(words, evidence[:, label], self.labels[label])
        return tuple(sorted(spans, key=lambda span: (span.start, span.end, span.label)))


def windows_of(text: str) -> list[str]:
    """All stretches in which a text is judged, a short one as a whole; the worst one counts."""
    found = text.split()
    last = max(len(found) - _WINDOW + _STEP, 1)
    return [" ".join(found[begin : begin + _WINDOW]) for begin in range(0, last, _STEP)]


def _chunks(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Stretches of texts that are neither too many nor too long together."""
    begin = characters = 0
    for index, text in enumerate(texts):
        if index > begin and (index - begin == _CHUNK or characters + len(text) > _CHUNK_CHARACTERS):
            yield begin, index
            begin, characters = index, 0
        characters += len(text)
    if begin < len(texts):
        yield begin, len(texts)


def _read(token: str, weights: NgramWeights) -> list[Word]:
    if len(token) <= _LONGEST_REMEMBERED:
        return read_token(token, weights.known)
    return [word for piece, _ in tokens(token) for word in read_token(piece, weights.known)]


def _spans(words: list[Word], evidence: NDArray[np.float32], label: str) -> Iterator[Span]:
    """Words that carry enough, as spans; what touches or is divided by one space is one span."""
    strongest = evidence.max()
    if strongest <= 0:
        return
    start = end = -1
    for word, share in zip(words, evidence, strict=True):
        if share < _NOTABLE_SHARE * strongest:
            continue
        if start >= 0 and 0 <= word.start - end <= 1:
            end = max(end, word.end)
            continue
        if start >= 0:
            yield Span(start, end, label)
        start, end = word.start, word.end
    yield Span(start, end, label)
