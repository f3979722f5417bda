"""Which pieces the encoder keeps, and the words of chat that become pieces of their own."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers.encoder_pieces import START, Pieces
from chat_moderator.text.readings import Known
from chat_moderator.text.words import read_token
from training.encoder.source import Source

_COMMONEST: Final = 40_000  # kept whatever the training texts use, for what they lack: most languages
_FREQUENT: Final = 2
_WORD_TEXTS: Final = 12
_SIGN_TEXTS: Final = 3
_WORD_SCORE: Final = -9.0
_SIGN_SCORE: Final = -12.0
_LONGEST: Final = 256
_WORD: Final = re.compile(r"[a-z]+|[\u0900-\u0963]+")
"""Latin, and Devanagari, of which the source knows nothing; elsewhere its pieces know more than new words would."""
_LONGEST_PIECE: Final = 16  # longer ones would make every split slower


class Vocabulary(NamedTuple):
    """Pieces by id, their log-probabilities, and the embedding each starts with."""

    pieces: list[str]
    scores: list[float]
    table: NDArray[np.float32]


def choose(source: Source, texts: Iterable[str], spoken: Iterable[str], known: Known) -> Vocabulary:
    """Single characters, the commonest pieces, those of the texts; and frequent words and unknown signs of `spoken`."""
    tokens, said = (Counter(token for text in some for token in set(text.split())) for some in (texts, spoken))
    everything = Pieces(source.pieces, source.scores, known, remembered=0)
    used: Counter[int] = Counter()
    for token, count in tokens.items():
        for number in set(everything.read(token)):
            used[number] += count
    kept = [
        number
        for number, piece in enumerate(source.pieces)
        if len(piece) <= _LONGEST_PIECE
        and (number < _COMMONEST or used[number] >= _FREQUENT or len(piece.lstrip(START)) <= 1)
    ]
    pieces = [source.pieces[number] for number in kept]
    scores = [source.scores[number] for number in kept]
    table = source.table[kept]
    smaller = Pieces(pieces, scores, known)
    words, signs = _spoken(said, known)
    split = {word: smaller.split(word) for word in words}
    new = [word for word in words if len(split[word]) > 1]
    added = [table[split[word]].mean(axis=0) for word in new]
    present = set(pieces)
    unknown = [sign for sign in signs if sign not in present]
    return Vocabulary(
        pieces + new + unknown,
        scores + [_WORD_SCORE] * len(new) + [_SIGN_SCORE] * len(unknown),
        np.concatenate([table, np.array(added, np.float32).reshape(-1, table.shape[1]), table[[0] * len(unknown)]]),
    )


def _spoken(tokens: Counter[str], known: Known) -> tuple[list[str], list[str]]:
    """Frequent words, each as the piece it would be, and frequent single signs."""
    words: Counter[str] = Counter()
    signs: Counter[str] = Counter()
    for token, count in tokens.items():
        for word in read_token(token[:_LONGEST], known):
            if word.start == 0 and len(word.text) < _LONGEST_PIECE and _WORD.fullmatch(word.text):
                words[START + word.text] += count
            elif len(word.text) == 1 and not word.text.isalnum():
                signs[word.text] += count
    return (
        sorted(word for word, count in words.items() if count >= _WORD_TEXTS),
        sorted(sign for sign, count in signs.items() if count >= _SIGN_TEXTS),
    )
