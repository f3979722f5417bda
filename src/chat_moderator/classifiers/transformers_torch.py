"""Runs a classifier with torch: on a GPU, or an architecture whose graph is not built here."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from chat_moderator.errors import ConfigError
from transformers import AutoModelForSequenceClassification

_BUDGET: Final = 16_384
"""Tokens a run, the padding counted."""


class TorchNetwork:
    """See `Network`. In float32; texts are sorted by length and padded to the longest of their run.

    Raises:
        ConfigError: the model cannot be loaded without code of its own, or is no classifier.
    """

    def __init__(self, folder: Path, *, device: str, threads: int, padding: int) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the files are here
        torch.set_num_threads(threads)
        try:
            model: Any = AutoModelForSequenceClassification.from_pretrained(
                folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, RuntimeError, KeyError) as problem:
            raise ConfigError("classifiers.transformers.model", f"{folder} cannot be loaded: {problem}") from problem
        self._model = model.to(device).eval()
        self._device = device
        self._padding = padding

    def logits(self, sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """See `Network.logits`."""
        order = sorted(range(len(sequences)), key=lambda at: len(sequences[at]))
        parts = [(run, self._run([sequences[at] for at in run])) for run in _runs(sequences, order)]
        found = np.empty((len(sequences), parts[0][1].shape[1]), np.float32)
        for run, rows in parts:
            found[run] = rows
        return found

    def _run(self, sequences: list[Sequence[int]]) -> NDArray[np.float32]:
        longest = max(map(len, sequences))
        ids = torch.full((len(sequences), longest), self._padding)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(sequence)
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        mask = (torch.arange(longest) < lengths[:, None]).long()
        with torch.inference_mode():
            answer = self._model(input_ids=ids.to(self._device), attention_mask=mask.to(self._device))
        found: NDArray[np.float32] = answer.logits.float().cpu().numpy()
        return found


def _runs(sequences: Sequence[Sequence[int]], order: list[int]) -> Iterator[list[int]]:
    """Indexes that run together, the shortest first; the last of a run is its longest."""
    run: list[int] = []
    for index in order:
        if run and (len(run) + 1) * len(sequences[index]) > _BUDGET:
            yield run
            run = []
        run.append(index)
    if run:
        yield run
