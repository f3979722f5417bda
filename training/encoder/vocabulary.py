"""Which pieces the encoder keeps, and the words of chat that become pieces of their own."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers.encoder_pieces import START, Pieces
from chat_moderator.text.readings import Known
from chat_moderator.text.words import read_token
from training.encoder.source import Source

_COMMONEST: Final = 46_000  # kept whatever the training texts use, for what they lack: most languages
_FREQUENT: Final = 2
_WORD_TEXTS: Final = 12
_SIGN_TEXTS: Final = 3
_WORD_SCORE: Final = -9.0
_SIGN_SCORE: Final = -12.0
_LONGEST: Final = 256


class Vocabulary(NamedTuple):
    """Pieces by id, their log-probabilities, and the embedding each starts with."""

    pieces: list[str]
    scores: list[float]
    table: NDArray[np.float32]


def choose(source: Source, texts: Iterable[str], known: Known) -> Vocabulary:
    """Single characters, the commonest pieces and those of the texts; and new, frequent words and unknown signs."""
    everything = Pieces(source.pieces, source.scores, known, remembered=0)
    used: Counter[int] = Counter()
    words: Counter[str] = Counter()
    signs: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for text in texts:
        found.update(set(text.split()))
    for token, count in found.items():
        for number in set(everything.read(token)):
            used[number] += count
        for word in read_token(token[:_LONGEST], known):
            if word.text.isalpha() and word.start == 0:
                words[word.text] += count
            elif len(word.text) == 1 and not word.text.isalnum():
                signs[word.text] += count
    kept = [0] + [
        number
        for number, piece in enumerate(source.pieces)
        if number and (number < _COMMONEST or used[number] >= _FREQUENT or len(piece.lstrip(START)) <= 1)
    ]
    pieces = [source.pieces[number] for number in kept]
    scores = [source.scores[number] for number in kept]
    table = [source.table[kept]]
    smaller = Pieces(pieces, scores, known)
    new: list[str] = []
    for word, count in words.items():
        split = smaller.split(START + word)
        if count >= _WORD_TEXTS and len(split) > 1 and word.isascii():
            new.append(START + word)
            scores.append(_WORD_SCORE)
            table.append(table[0][split].mean(axis=0, keepdims=True))
    present = set(pieces)
    for sign, count in signs.items():
        if count >= _SIGN_TEXTS and sign not in present:
            new.append(sign)
            scores.append(_SIGN_SCORE)
            table.append(table[0][:1])
    return Vocabulary(pieces + new, scores, np.concatenate(table))
