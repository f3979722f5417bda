"""Texts to the sparse features that the n-gram classifier counts, by the same code that it runs."""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import scipy.sparse as sp  # type: ignore[import-untyped]
from numpy.typing import NDArray

from chat_moderator.text.leetspeak import leet_readings
from chat_moderator.text.mapped import Mapped
from chat_moderator.text.ngrams import BITS, finish, pair_hashes, word_features
from chat_moderator.text.reading import rewrite
from chat_moderator.text.repeats import has_long_run, repeat_readings
from chat_moderator.text.words import Word, read_token, tokens

_WORD: Final = re.compile(r"[^\W_]+")
_ENOUGH: Final = 3
_FAR_MORE: Final = 10
_LEET_LENGTH: Final = 3


def vocabulary(texts: Sequence[str]) -> frozenset[str]:
    """Lower-case words of at least three texts, without disguised spellings of a word that is far more common."""
    counted: Counter[str] = Counter()
    for text in texts:
        counted.update(set(_WORD.findall(text.lower())))
    return frozenset(
        word
        for word, count in counted.items()
        if count >= _ENOUGH and not any(counted[reading] > _FAR_MORE * count for reading in _plainer(word))
    )


def _plainer(word: str) -> Iterator[str]:
    """What the word is a spelling of, if its digits are letters or its letters were held down."""
    if len(word) >= _LEET_LENGTH:
        yield from leet_readings(word)
    if has_long_run(word):
        yield from (reading.text for reading in repeat_readings(Mapped.of(word)))


def word_hash(word: str) -> int:
    """How a vocabulary is stored."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


class Extractor:
    """Builds the feature matrix of texts: counts of n-grams within words and of neighbouring words.

    Args:
        known: the vocabulary that decides between readings.
    """

    def __init__(self, known: frozenset[str]) -> None:
        self._known = known.__contains__
        self._read: dict[str, list[Word]] = {}
        self._words: dict[str, int] = {}

    def matrix(self, texts: Sequence[str], tick: Callable[[], None] = lambda: None) -> "sp.csr_matrix[np.float32]":
        """Counts (texts, 2**BITS), each row divided by the root of its sum; `tick` is called after each text read."""
        word_ids: list[int] = []
        speaks: list[bool] = []
        lengths = []
        ids = self._words
        for text in texts:
            before = len(word_ids)
            for word in self._words_of(text):
                word_ids.append(ids.setdefault(word.text, len(ids)))
                speaks.append(word.speaks)
            lengths.append(len(word_ids) - before)
            tick()
        words = np.array(word_ids, np.int64)
        text_of = np.repeat(np.arange(len(texts)), lengths)
        shape = (len(texts), len(ids))
        used = sp.csr_matrix((np.ones(len(words), np.float32), (text_of, words)), shape)
        within, hashes = self._word_matrix()
        speaking = np.flatnonzero(np.array(speaks, bool))
        first, second = words[speaking[:-1]], words[speaking[1:]]
        same = text_of[speaking[:-1]] == text_of[speaking[1:]]
        pairs = finish(pair_hashes(hashes[first], hashes[second]))[same]
        pair_texts = text_of[speaking[:-1]][same]
        paired = sp.csr_matrix((np.ones(len(pairs), np.float32), (pair_texts, pairs)), (len(texts), 1 << BITS))
        counts = (used @ within + paired).tocsr()
        totals = np.asarray(counts.sum(axis=1)).ravel()
        counts.data /= np.repeat(np.sqrt(np.maximum(totals, 1)), np.diff(counts.indptr)).astype(np.float32)
        return counts

    def _words_of(self, text: str) -> list[Word]:
        found: list[Word] = []
        for token, _ in tokens(rewrite(text, self._known).text):
            if token not in self._read:
                self._read[token] = read_token(token, self._known)
            found += self._read[token]
        return found

    def _word_matrix(self) -> tuple["sp.csr_matrix[np.float32]", NDArray[np.uint64]]:
        words = list(self._words)
        parts, hashes = [], []
        for begin in range(0, len(words), 100_000):
            part = words[begin : begin + 100_000]
            features = word_features(part)
            word_of = np.repeat(np.arange(len(part)), np.diff(features.starts, append=len(features.grams)))
            here, column = np.nonzero(features.grams >= 0)
            buckets = np.concatenate([features.whole, features.grams[here, column]])
            owners = np.concatenate([np.arange(len(part)), word_of[here]])
            parts.append(sp.csr_matrix((np.ones(len(buckets), np.float32), (owners, buckets)), (len(part), 1 << BITS)))
            hashes.append(features.hashes)
        return sp.vstack(parts, format="csr"), np.concatenate(hashes)
