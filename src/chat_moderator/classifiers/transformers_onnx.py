"""Runs a classifier as ONNX on the processor: the graph built here, or one that a model comes with."""

import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from chat_moderator.errors import ConfigError

Floats = NDArray[np.float32]
Ids = Sequence[int]

GRAPH_REVISION: Final = 1
"""Raised when `transformers_graph` makes another graph of the same weights: what it made before is then made again."""

_KEY: Final = "classifiers.transformers.model"
_SHORTEST_BUCKET: Final = 16
_BUDGET: Final = 512
"""Tokens a run: its matrices stay in the cache, and it is long enough for the products to be fast."""
_HIDDEN: Final = -1e9
_CONDITIONAL: Final = b"DynamicQuantize"
"""Part of the operators whose scale is one for all texts of a run."""


class Network(Protocol):
    """What turns tokens into logits."""

    def logits(self, sequences: Sequence[Ids]) -> Floats:
        """(len(sequences), logits) for sequences of ids with the special ones around them."""


class FlatNetwork:
    """A graph of `transformers_graph`. Texts are sorted by length and run together up to 512 tokens."""

    def __init__(self, session: onnxruntime.InferenceSession, *, offset: int) -> None:
        self._session = session
        self._offset = offset

    def logits(self, sequences: Sequence[Ids]) -> Floats:
        """See `Network.logits`."""
        parts = [(indexes, self._run([sequences[at] for at in indexes])) for indexes in _runs(sequences)]
        return _gathered(parts)

    def _run(self, sequences: Sequence[Ids]) -> Floats:
        lengths = np.array([len(ids) for ids in sequences])
        longest = _bucket(int(lengths.max()))
        present = np.arange(longest) < lengths[:, None]
        first = np.cumsum(lengths) - lengths
        spread = np.where(present, first[:, None] + np.arange(longest), 0)
        inputs = {
            "ids": np.concatenate([np.asarray(ids, np.int64) for ids in sequences]),
            "places": np.nonzero(present)[1] + self._offset,
            "spread": spread,
            "gather": np.flatnonzero(present),
            "mask": np.where(present, 0, _HIDDEN).astype(np.float32)[:, None, None, :],
            "first": first,
        }
        found: Floats = self._session.run(["logits"], inputs)[0]
        return found


class PlainNetwork:
    """A graph of another's making with the usual inputs. Only texts of the same length run together: none is padded."""

    def __init__(self, session: onnxruntime.InferenceSession, *, alone: bool) -> None:
        self._session = session
        self._alone = alone
        self._inputs = [each.name for each in session.get_inputs()]
        unknown = set(self._inputs) - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown or "input_ids" not in self._inputs:
            raise ConfigError(_KEY, f"the ONNX graph has the inputs {', '.join(self._inputs)}, not a text classifier's")

    def logits(self, sequences: Sequence[Ids]) -> Floats:
        """See `Network.logits`."""
        parts = []
        for indexes in _same_lengths(sequences, alone=self._alone):
            ids = np.asarray([sequences[at] for at in indexes], np.int64)
            values = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            found = self._session.run(None, {name: values[name] for name in self._inputs})[0]
            parts.append((indexes, np.asarray(found, np.float32)))
        return _gathered(parts)


def open_graph(path: Path, *, threads: int, offset: int) -> Network:
    """The network in an ONNX file.

    Raises:
        ConfigError: it is not a text classifier.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # the library's exceptions have no public common class
        raise ConfigError(_KEY, f"{path} cannot be run: {problem}") from problem
    if "spread" in {each.name for each in session.get_inputs()}:
        return FlatNetwork(session, offset=offset)
    return PlainNetwork(session, alone=_scales_together(path))


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that it is there whole or not at all.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as problem:
        raise ConfigError("classifiers.transformers.cache", f"{path} cannot be written: {problem}") from problem


def _bucket(length: int) -> int:
    """Places of attention for a text: by its own length alone, so that sums in it have the same order in any run."""
    return max(_SHORTEST_BUCKET, 1 << (length - 1).bit_length())


def _runs(sequences: Sequence[Ids]) -> Iterator[list[int]]:
    """Indexes of sequences that run together: of one bucket, as many tokens as the budget has."""
    run: list[int] = []
    tokens, bucket = 0, 0
    for index in sorted(range(len(sequences)), key=lambda at: len(sequences[at])):
        length = len(sequences[index])
        if run and (_bucket(length) != bucket or tokens + length > _BUDGET):
            yield run
            run, tokens = [], 0
        run.append(index)
        tokens, bucket = tokens + length, _bucket(length)
    if run:
        yield run


def _same_lengths(sequences: Sequence[Ids], *, alone: bool) -> Iterator[list[int]]:
    run: list[int] = []
    for index in sorted(range(len(sequences)), key=lambda at: len(sequences[at])):
        length = len(sequences[index])
        if run and (alone or len(sequences[run[0]]) != length or (len(run) + 1) * length > _BUDGET):
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _gathered(parts: list[tuple[list[int], Any]]) -> Floats:
    """Rows of all runs, in the order of the sequences."""
    found = np.empty((sum(len(indexes) for indexes, _ in parts), parts[0][1].shape[1]), np.float32)
    for indexes, rows in parts:
        found[indexes] = rows
    return found


def _scales_together(path: Path) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_CONDITIONAL) >= 0
