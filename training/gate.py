"""Teaches the gate of the cascade what the top tier would act on; needs torch. Called by `training.cascade`."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch.nn import functional

from chat_moderator.classifiers.encoder_pieces import UNKNOWN, Pieces
from chat_moderator.classifiers.encoder_weights import pieces_of
from chat_moderator.classifiers.gate import LONGEST
from chat_moderator.classifiers.weights_file import write as save
from training.encoder.export import quantise

_SEED: Final = 5
_DIMENSIONS: Final = 40
_WINDOWS: Final = 96
_HIDDEN: Final = 48
_RAREST: Final = 8
_EPOCHS: Final = 8
_BATCH: Final = 256
_RATE: Final = 2e-3
_DECAY: Final = 1e-3
_WORD_DROPOUT: Final = 0.05
_WARM_UP: Final = 300


class Reading(NamedTuple):
    """The pieces that the gate tells apart, what each begins with, and which of them each of the encoder's is."""

    pieces: list[str]
    table: NDArray[np.float32]
    reader: Pieces
    rows: NDArray[np.int64]

    def read(self, text: str) -> list[int]:
        ids: list[int] = self.rows.take(self.reader.read(text)[:LONGEST]).tolist()
        return ids


def reading(encoder: Path, texts: Sequence[str]) -> Reading:
    """The encoder's pieces that occur in the texts, with their embeddings in fewer dimensions (weighted SVD)."""
    with np.load(encoder, allow_pickle=False) as stored:
        table = stored["table"].astype(np.float32) * stored["table_scale"][:, None]
        reader = pieces_of(stored)
    counted: Counter[int] = Counter(number for text in texts for number in reader.read(text))
    kept = [number for number in range(len(table)) if number == UNKNOWN or counted[number] >= _RAREST]
    weight = np.sqrt([counted[number] + 1.0 for number in kept])[:, None]
    own = table[kept]
    _, basis = np.linalg.eigh((own * weight).T @ (own * weight))
    small = own @ basis[:, ::-1][:, :_DIMENSIONS].astype(np.float32)
    rows = np.full(len(table), UNKNOWN)
    rows[kept] = np.arange(len(kept))
    return Reading([reader.vocabulary[number] for number in kept], small / small.std(), reader, rows)


def fit(
    start: Reading,
    texts: Sequence[str],
    targets: NDArray[np.float32],
    weights: NDArray[np.float32],
    progress: Progress,
) -> dict[str, NDArray[np.float32]]:
    """Learns to say `targets` (texts), 0 to 1."""
    torch.manual_seed(_SEED)
    chance = random.Random(_SEED)
    ids = [start.read(text) for text in texts]
    used = [index for index, found in enumerate(ids) if found]
    net = _new(start.table)
    optimisers = [
        torch.optim.AdamW([each for name, each in net.items() if name != "table"], lr=_RATE, weight_decay=_DECAY),
        torch.optim.SparseAdam([net["table"]], lr=2 * _RATE),
    ]
    steps = _EPOCHS * -(-len(used) // _BATCH)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(each, lambda step: min(1.0, step / _WARM_UP) * max(0.02, 1 - step / steps))
        for each in optimisers
    ]
    task = progress.add_task("teaching the gate", total=steps)
    for _ in range(_EPOCHS):
        order = sorted(used, key=lambda index: len(ids[index]) + 3 * chance.random())
        groups = [order[begin : begin + _BATCH] for begin in range(0, len(order), _BATCH)]
        chance.shuffle(groups)
        for group in groups:
            loss = functional.binary_cross_entropy_with_logits(
                _logits(net, [ids[index] for index in group]),
                torch.from_numpy(targets[group]),
                weight=torch.from_numpy(weights[group]),
            )
            for optimiser in optimisers:
                optimiser.zero_grad()
            loss.backward()
            for optimiser, schedule in zip(optimisers, schedules, strict=True):
                optimiser.step()
                schedule.step()
            progress.advance(task)
    return {name: tensor.detach().numpy().copy() for name, tensor in net.items()}


def write(path: Path, start: Reading, learnt: dict[str, NDArray[np.float32]], metadata: dict[str, Any]) -> None:
    """gate.npz and gate.json."""
    stored = quantise(learnt)
    stored["pieces"] = np.frombuffer("\n".join(start.pieces).encode(), np.uint8)
    save(path, stored, metadata)


def _new(table: NDArray[np.float32]) -> dict[str, Any]:
    def layer(size: int, outputs: int) -> Any:
        return torch.randn(size, outputs) / size**0.5

    pooled = 2 * _WINDOWS + _DIMENSIONS
    found = {
        "table": torch.from_numpy(table.copy()),
        "window": layer(3 * _DIMENSIONS, _WINDOWS),
        "window_bias": torch.zeros(_WINDOWS),
        "hidden": layer(pooled, _HIDDEN),
        "hidden_bias": torch.zeros(_HIDDEN),
        "out": layer(_HIDDEN, 1),
        "out_bias": torch.full((1,), -3.0),
    }
    return {name: tensor.requires_grad_() for name, tensor in found.items()}


def _logits(net: dict[str, Any], sequences: Sequence[Sequence[int]]) -> Any:
    """The arithmetic of `chat_moderator.classifiers.gate`, with some words left out; (len(sequences),)."""
    lengths = torch.tensor([len(ids) for ids in sequences])
    ids = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(each) for each in sequences], batch_first=True, padding_value=-1
    )
    inside = (ids >= 0).float()[:, :, None]
    kept = inside * (torch.rand(ids.shape) >= _WORD_DROPOUT).float()[:, :, None]
    rows = functional.embedding(ids.clamp(min=0), net["table"], sparse=True) * kept
    wider = functional.pad(rows, (0, 0, 1, 1))
    windows = torch.cat([wider[:, :-2], wider[:, 1:-1], wider[:, 2:]], dim=2)
    found = torch.relu(windows @ net["window"] + net["window_bias"]) * inside
    root = lengths.float().sqrt()[:, None]
    pooled = torch.cat([found.max(1).values, found.sum(1) / root, rows.sum(1) / root], dim=1)
    hidden = torch.relu(pooled @ net["hidden"] + net["hidden_bias"])
    return (hidden @ net["out"] + net["out_bias"])[:, 0]
