"""Hashed character n-grams of words, a batch at a time.

A word's n-grams lie within the word, so what they add up to can be kept under the word. Hashes are polynomial, over
code points, in 64 bits, finished by a multiplication whose top bits count (Dietzfelbinger et al., 1997).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

BITS: Final = 22
SIZES: Final = (2, 3, 4, 5)
"""Lengths of the n-grams, word boundaries included; unspaced scripts and emoji also count single characters."""

_PRIME: Final = np.uint64(0x9E3779B97F4A7C15)
_FINISH: Final = np.uint64(0xD6E8FEB86659FD93)
_WORD: Final = np.uint64(0xA0761D6478BD642F)
_NEXT: Final = np.uint64(0xE7037ED1A0B428DB)
_SHIFT: Final = np.uint64(64 - BITS)
_MIX: Final = np.uint64(29)
_UNSPACED_FROM: Final = 0x2190
_BOUNDS: Final = 2


def finish(hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Buckets (0 to 2**BITS - 1) of raw 64-bit hashes."""
    return ((hashes ^ (hashes >> _MIX)) * _FINISH >> _SHIFT).astype(np.int32)


def pair_hashes(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Raw hashes of two words one after another."""
    return (first * _WORD) ^ (second * _NEXT + _PRIME)


class WordFeatures(NamedTuple):
    """The features of some words.

    `whole` is the bucket of each word, `hashes` its raw hash. `grams` are the buckets of the n-grams that begin at each
    character (boundaries are characters too): a column of single characters of unspaced scripts, then one for each of
    SIZES; -1 where there is none. `starts` is the first row of each word in `grams`.
    """

    whole: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    grams: NDArray[np.int32]
    starts: NDArray[np.int64]


def word_features(words: Sequence[str]) -> WordFeatures:
    """Hashes words, of which there is at least one and none is empty."""
    bounded = "\x02" + "\x03\x02".join(words) + "\x03"
    codes = np.frombuffer(bounded.encode("utf-32-le", "surrogatepass"), np.uint32)
    lengths = np.fromiter(map(len, words), np.int64, len(words)) + _BOUNDS
    starts = np.cumsum(lengths) - lengths
    places = np.arange(len(codes)) - np.repeat(starts, lengths)
    left = np.repeat(lengths, lengths) - places

    mixed = (codes + np.uint64(1)) * _FINISH
    mixed ^= mixed >> _MIX
    grams = np.full((1 + len(SIZES), len(codes)), -1, np.int32)
    unspaced = np.flatnonzero(codes >= _UNSPACED_FROM)
    grams[0, unspaced] = finish(mixed[unspaced])
    rolling = mixed
    for row, size in enumerate(SIZES, start=1):
        begins = max(0, len(codes) - size + 1)
        rolling = rolling[:begins] * _PRIME + mixed[size - 1 :]
        grams[row, :begins] = np.where(left[:begins] >= size, finish(rolling), -1)

    # A word's own hash: its characters weighed by powers of the prime, from its first character on.
    powers = np.multiply.accumulate(np.full(int(lengths.max()), _PRIME))
    hashes = np.add.reduceat(mixed * powers[places], starts)
    return WordFeatures(finish(hashes * _WORD), hashes, grams.T, starts)
