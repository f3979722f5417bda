"""What two peers are made of, without TensorFlow: their tokenizer and their bidirectional LSTM. numpy only.

Both are an embedding, one bidirectional LSTM (Hochreiter and Schmidhuber, 1997) over 100 places padded in front, the
maximum over the places, and two dense layers, as their packages describe them.
"""

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PLACES = 100
_BATCH = 512
_HARMLESS = {
    ("collections", "OrderedDict"): dict,
    ("collections", "defaultdict"): dict,
    ("builtins", "int"): int,
}


class Bag:
    """Stands for an object of a pickle: its attributes, and nothing that runs."""


class Unpickler(pickle.Unpickler):
    """Reads plain containers and, as bags of attributes, the classes of `bags`.

    Raises:
        pickle.UnpicklingError: the file asks for anything else.
    """

    bags = frozenset({"Tokenizer", "TokenSequencer"})

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a class."""
        if name in self.bags:
            return Bag
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"{module}.{name} is not read")
        # A defaultdict is pickled as a call with its factory.
        return (lambda *_: {}) if name == "defaultdict" else _HARMLESS[module, name]


class Tokenizer:
    """Texts to sequences of word numbers, as the Keras tokenizer of the pickle does."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            found = Unpickler(file).load()
        kept: Mapping[str, Any] = vars(getattr(found, "tokenizer", found))
        self._numbers: dict[str, int] = kept["word_index"]
        self._words: int = kept["num_words"]
        self._drop = str.maketrans(dict.fromkeys(kept["filters"], " "))

    def read(self, text: str) -> list[int]:
        """The numbers of the known words, at most the last hundred."""
        words = text.lower().translate(self._drop).split(" ")
        numbers = (self._numbers.get(word, self._words) for word in words if word)
        return [number for number in numbers if number < self._words][-PLACES:]


class Cell(NamedTuple):
    """One direction: (embedding, 4 units), (units, 4 units), (4 units); gates in the order in, forget, new, out."""

    kernel: Floats
    recurrent: Floats
    bias: Floats


class BiLstm(NamedTuple):
    """The network. `gate` is its sigmoid, of which Keras has two."""

    embeddings: Floats
    forward: Cell
    backward: Cell
    dense: tuple[Floats, Floats]
    out: tuple[Floats, Floats]
    gate: Callable[[Floats], Floats]

    def score(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """(len(sequences), outputs), each 0 to 1."""
        found = [self._score(sequences[at : at + _BATCH]) for at in range(0, len(sequences), _BATCH)]
        return np.concatenate(found) if found else np.zeros((0, len(self.out[1])), np.float32)

    def _score(self, sequences: Sequence[Sequence[int]]) -> Floats:
        numbers = np.zeros((len(sequences), PLACES), np.int64)
        for row, sequence in zip(numbers, sequences, strict=True):
            row[PLACES - len(sequence) :] = sequence
        peak = np.concatenate([self._run(self.forward, numbers), self._run(self.backward, numbers[:, ::-1])], axis=1)
        hidden = np.maximum(peak @ self.dense[0] + self.dense[1], 0)
        scores: Floats = sigmoid(hidden @ self.out[0] + self.out[1])
        return scores

    def _run(self, cell: Cell, numbers: NDArray[np.int64]) -> Floats:
        """The highest output at any place, (texts, units)."""
        told = self.embeddings @ cell.kernel + cell.bias
        units = len(cell.recurrent)
        output = np.zeros((len(numbers), units), np.float32)
        state: Floats = output
        peak: Floats = np.full_like(output, -np.inf)
        for place in range(PLACES):
            gates: Floats = told[numbers[:, place]] + output @ cell.recurrent
            into, forget, new, out = np.split(gates, 4, axis=1)
            state = (self.gate(forget) * state + self.gate(into) * np.tanh(new)).astype(np.float32)
            output = (self.gate(out) * np.tanh(state)).astype(np.float32)
            peak = np.maximum(peak, output)
        return peak


def sigmoid(values: Floats) -> Floats:
    """The logistic function."""
    found: Floats = (1 / (1 + np.exp(-np.clip(values, -30, 30)))).astype(np.float32)
    return found


def hard_sigmoid(values: Floats) -> Floats:
    """The piecewise linear one."""
    found: Floats = np.clip(np.float32(0.2) * values + np.float32(0.5), 0, 1).astype(np.float32)
    return found
