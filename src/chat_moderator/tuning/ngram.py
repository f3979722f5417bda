"""The n-gram model, tuned: weights are added to the n-grams, words and pairs of words of the texts learnt from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers.ngram import Config, NgramClassifier, windows_of
from chat_moderator.classifiers.ngram_weights import BUNDLED, NgramWeights
from chat_moderator.classifiers.weights_file import write
from chat_moderator.text.ngrams import finish, pair_hashes, word_features
from chat_moderator.text.reading import read, rewrite
from chat_moderator.tuning.correction import logit
from chat_moderator.tuning.reading import Floats
from chat_moderator.tuning.rows import ACTED_ON

_COLUMNS: Final = 4096
_LARGEST_ROOT: Final = 127

Buckets = NDArray[np.int64]


class NgramReading:
    """Texts as the shipped n-gram model reads them (`Reading`). A long one counts by its worst 20 words."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.classifier = NgramClassifier()
        self._weights = NgramWeights(BUNDLED)
        worst = [self._worst(text) for text in texts]
        self.logits: Floats = logit(self.classifier.score(worst))
        counted = [self._features(text) for text in worst]
        self._texts = np.repeat(np.arange(len(texts)), [len(buckets) for buckets, _ in counted])
        self._used, self._places = np.unique(
            np.concatenate([np.zeros(0, np.int64), *(buckets for buckets, _ in counted)]), return_inverse=True
        )
        self._values = np.concatenate([np.zeros(0, np.float32), *(values for _, values in counted)])
        self.products: Floats = self._products(len(texts)) + np.float32(1)

    def write(self, shares: Floats, folder: Path, metadata: dict[str, Any]) -> NgramClassifier:
        """See `Reading.write`; the folder is what `[classifiers.ngram] model` names."""
        with np.load(BUNDLED, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        added = np.zeros((len(self._used), shares.shape[1]), np.float64)
        np.add.at(added, self._places, self._values[:, None] * shares[self._texts])
        rows = self._weights.rows[self._used]
        moved = self._weights.values[rows] + added / arrays["scale"]
        roots = np.sign(moved) * np.minimum(np.rint(np.sqrt(np.abs(moved))), _LARGEST_ROOT)
        kept = np.cumsum(arrays["gaps"], dtype=np.int64)
        all_roots = arrays["roots"].copy()
        known = rows > 0
        all_roots[rows[known] - 1] = roots[known]
        new = ~known & roots.any(axis=1)
        buckets = np.concatenate([kept, self._used[new]])
        order = np.argsort(buckets)
        arrays |= {
            "gaps": np.diff(buckets[order], prepend=0).astype(np.uint32),
            "roots": np.concatenate([all_roots, roots[new].astype(np.int8)])[order],
            "bias": arrays["bias"] + shares.sum(axis=0),
        }
        write(folder / BUNDLED.name, arrays, metadata)
        return NgramClassifier(Config(model=str(folder)))

    def _worst(self, text: str) -> str:
        """The stretch of a long text that scores highest in what is acted on; a short one as it is."""
        windows = windows_of(rewrite(text, self._weights.known).text)
        if len(windows) == 1:
            return text
        columns = [index for index, label in enumerate(self.classifier.labels) if label in ACTED_ON]
        return windows[int(self.classifier.score(windows)[:, columns].max(axis=1).argmax())]

    def _features(self, text: str) -> tuple[Buckets, Floats]:
        """The buckets of a text and what each weighs: how often it occurs, over the root of all occurrences."""
        words = read(text, self._weights.known)
        if not words:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        features = word_features([word.text for word in words])
        speaking = features.hashes[[index for index, word in enumerate(words) if word.speaks]]
        pairs = finish(pair_hashes(speaking[:-1], speaking[1:]))
        found = np.concatenate([features.whole, features.grams[features.grams >= 0], pairs]).astype(np.int64)
        buckets, counts = np.unique(found, return_counts=True)
        return buckets, (counts / np.sqrt(counts.sum())).astype(np.float32)

    def _products(self, texts: int) -> Floats:
        """(texts, texts). What only one text has meets itself alone."""
        found = np.zeros((texts, texts), np.float32)
        often = np.bincount(self._places, minlength=len(self._used))
        alone = often[self._places] == 1
        np.add.at(found, (self._texts[alone], self._texts[alone]), self._values[alone] ** 2)
        column = np.cumsum(often > 1) - 1
        shared = np.flatnonzero(~alone)
        columns = column[self._places[shared]]
        for begin in range(0, int((often > 1).sum()), _COLUMNS):
            here = (columns >= begin) & (columns < begin + _COLUMNS)
            block = np.zeros((texts, _COLUMNS), np.float32)
            block[self._texts[shared[here]], columns[here] - begin] = self._values[shared[here]]
            found += block @ block.T
        return found
