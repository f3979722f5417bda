"""Hashed character n-grams of words, a batch at a time.

A word's n-grams lie within the word, so what they add up to can be kept under the word. Hashes are polynomial, over code points, in 64 bits,
finished by a multiplication whose top bits count (Dietzfelbinger et al., 1997).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

BITS: Final = 22
SIZES: Final = (2, 3, 4, 5)
"""Lengths of the n-grams, word boundaries included; a word of an unspaced script or an emoji also counts its single characters."""

_PRIME: Final = np.uint64(0x9E3779B97F4A7C15)
_FINISH: Final = np.uint64(0xD6E8FEB86659FD93)
_WORD: Final = np.uint64(0xA0761D6478BD642F)
_NEXT: Final = np.uint64(0xE7037ED1A0B428DB)
_SHIFT: Final = np.uint64(64 - BITS)
_MIX: Final = np.uint64(29)
_SINGLE_FROM: Final = 0x2190
_BOUNDS: Final = 2


def finish(hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Buckets (0 to 2**BITS - 1) of raw 64-bit hashes."""
    return ((hashes ^ (hashes >> _MIX)) * _FINISH >> _SHIFT).astype(np.int32)


def pair_hashes(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Raw hashes of two words one after another."""
    return (first * _WORD) ^ (second * _NEXT + _PRIME)


def word_features(words: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.uint64]]:
    """The n-grams of words, none of them empty.

    Returns:
        Buckets, shape (characters with boundaries, 2 + len(SIZES)), -1 where there is no such n-gram: the whole word (on its first row),
        single characters of unspaced scripts, then n-grams of each of SIZES; the first row of each word; the raw hash of each word.
    """
    joined = "".join([f"\x02{word}\x03" for word in words])
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    lengths = np.fromiter(map(len, words), np.int64, len(words)) + _BOUNDS
    starts = np.cumsum(lengths) - lengths
    left = np.repeat(starts + lengths, lengths) - np.arange(len(codes))

    mixed = (codes + np.uint64(1)) * _FINISH
    mixed ^= mixed >> _MIX
    buckets = np.full((len(codes), 2 + len(SIZES)), -1, np.int32)
    buckets[:, 1] = np.where(codes >= _SINGLE_FROM, finish(mixed), -1)
    rolling = mixed
    for column, size in enumerate(SIZES, start=2):
        longer = np.zeros_like(mixed)
        count = max(0, len(codes) - size + 1)
        longer[:count] = rolling[:count] * _PRIME + mixed[size - 1 :]
        rolling = longer
        buckets[:, column] = np.where(left >= size, finish(rolling), -1)

    # A word's own hash: its characters weighed by powers of the prime, from its first character on.
    powers = np.multiply.accumulate(np.full(int(lengths.max(initial=1)), _PRIME))
    places = np.arange(len(codes)) - np.repeat(starts, lengths)
    hashes = np.add.reduceat(mixed * powers[places], starts) if len(words) else np.zeros(0, np.uint64)
    buckets[starts, 0] = finish(hashes * _WORD)
    return buckets, starts, hashes
