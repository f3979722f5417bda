"""The weights file of the n-gram classifier: checked when loaded, then asked what words and pairs of words add."""

import hashlib
import io
import zipfile
import zlib
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from chat_moderator.errors import ConfigError
from chat_moderator.text.ngrams import BITS, finish, pair_hashes, word_features

BUNDLED: Final = Path(__file__).parent / "weights" / "ngram.npz"
_KEY: Final = "classifiers.ngram.model"


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a weights file is, stored beside it as JSON; `experimental` names labels that had too little data."""

    sha256: str
    labels: tuple[str, ...]
    experimental: tuple[str, ...] = ()


class NgramWeights:
    """A row of weights, one a label, for every n-gram bucket that was worth keeping; row 0 is for all others.

    Weights are whole numbers, so that their sum is the same in whatever order they are added.

    A text's logit is `bias + scale * (sum of its rows) / sqrt(number of its features)`.

    Args:
        path: an .npz file with its .json beside it.

    Raises:
        ConfigError: a file is missing, is not the one that the metadata names, or holds something else than weights.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.metadata = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=Metadata)
            data = path.read_bytes()
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(
                _KEY, f'{error}; allowed are "bundled" and a folder with ngram.npz and ngram.json'
            ) from error
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.metadata.sha256:
            raise ConfigError(_KEY, f"{path} has sha256 {digest}, but ngram.json names {self.metadata.sha256}")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                roots: NDArray[np.int16] = arrays["roots"].astype(np.int16)
                buckets = np.cumsum(arrays["gaps"], dtype=np.int64)
                self.scale: NDArray[np.float32] = arrays["scale"]
                self.bias: NDArray[np.float32] = arrays["bias"]
                self.vocabulary: frozenset[int] = frozenset(arrays["vocabulary"].tolist())
            self.values = np.concatenate([np.zeros((1, len(self.metadata.labels)), np.int16), roots * np.abs(roots)])
            self.rows = np.zeros((1 << BITS) + 1, np.int32)
            self.rows[buckets] = np.arange(1, len(buckets) + 1)
        except (KeyError, ValueError, IndexError, zipfile.BadZipFile) as error:
            raise ConfigError(_KEY, f"{path} does not hold n-gram weights: {error}") from error

    def known(self, word: str) -> bool:
        """Whether the training texts held the word more than once or twice."""
        return zlib.crc32(word.encode("utf-8", "surrogatepass")) in self.vocabulary

    def word_shares(self, words: list[str]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint64]]:
        """What the n-grams of each word add up to (words, labels), how many there are, and each word's hash.

        There must be a word, and none may be empty.
        """
        features = word_features(words)
        # Bucket -1 (none) reads the last entry of `rows`, which is 0.
        sums = np.zeros((len(features.grams), self.values.shape[1]), np.float32)
        counts = np.zeros(len(features.grams), np.float32)
        for column in features.grams.T:
            here = self.rows.take(column)
            sums += self.values.take(here, axis=0)
            counts += column >= 0
        sums = np.add.reduceat(sums, features.starts)
        sums += self.values.take(self.rows.take(features.whole), axis=0)
        return sums, np.add.reduceat(counts, features.starts) + 1, features.hashes

    def pair_rows(self, first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The row of each pair of word hashes; 0 for pairs that say nothing."""
        return self.rows[finish(pair_hashes(first, second))]

    def probabilities(self, sums: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores, 0 to 1, of texts with these sums (texts, labels) and counts of features (texts); 0 without any."""
        logits = self.bias + self.scale * sums / np.sqrt(np.maximum(counts, 1))[:, None]
        scores = (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)
        scores[counts == 0] = 0
        return scores
