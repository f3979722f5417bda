"""Gradient descent with checkpoints: what was interrupted goes on at its last whole epoch."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch.nn import functional

from training.disguises import disguise
from training.encoder.mixture import batches, calm, drawn, source_weight
from training.encoder.network import Weights, logits, tensors
from training.rows import Row

_BATCH: Final = 128
_DISGUISED: Final = 0.15
_TALKED_AROUND: Final = 0.06  # share of what is shown that stands beside a fine line, before or after it
_NEW_LAYERS: Final = ("context", "overview", "weighed", "peak", "hidden", "out")
_NEW_RATE: Final = 1e-3
_RATE: Final = 5e-4
_TABLE_RATE: Final = 1.5e-3
_DECAY: Final = 0.01
_WARM_UP: Final = 0.06
_LABEL_WEIGHTS: Final = torch.tensor([2.0, 0.7, 0.7, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])

Read = Callable[[str], list[int]]


class Plan(NamedTuple):
    """How long, from which seed, and where the checkpoints go. `lively` scales the rates."""

    name: str
    folder: Path
    epochs: int
    seed: int
    lively: float = 1.0


def fit(  # noqa: PLR0917 - what is trained, on what, how
    start: dict[str, NDArray[np.float32]],
    rows: Sequence[Row],
    targets: NDArray[np.float32],
    read: Read,
    plan: Plan,
    progress: Progress,
) -> dict[str, NDArray[np.float32]]:
    """Trains from `start` on `targets` (rows, labels; NaN where nothing is known); the mean of the later epochs."""
    weights = tensors(start)
    optimisers = _optimisers(weights, plan)
    chance = random.Random(plan.seed)
    torch.manual_seed(plan.seed)
    size = len(drawn(rows, random.Random(plan.seed))) // _BATCH + 1
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(each, lambda step: _rate(step / (size * plan.epochs))) for each in optimisers
    ]
    task = progress.add_task(plan.name, total=plan.epochs * size)
    plain = [read(row.text) for row in rows]
    around = calm(rows, plain)
    row_weights = np.array([source_weight(row) for row in rows], np.float32)
    for epoch in range(plan.epochs):
        checkpoint = plan.folder / f"{plan.name}-{epoch}.pt"
        chance.seed(f"{plan.seed}/{epoch}")
        if checkpoint.is_file():
            _restore(checkpoint, weights, [*optimisers, *schedules])
            progress.advance(task, size)
            continue
        shown = drawn(rows, chance)
        ids = [_read(rows[index], plain[index], read, chance) for index in shown]
        wanted = targets[shown]
        for place in range(len(shown) if around else 0):
            if chance.random() < _TALKED_AROUND:
                other = chance.choice(around)
                beside = [ids[place], plain[other]]
                chance.shuffle(beside)
                ids[place] = beside[0] + beside[1]
                wanted[place] = np.maximum(wanted[place], targets[other])  # what is unknown stays unknown
        counts = np.repeat(row_weights[shown][:, None], wanted.shape[1], axis=1)
        running = 0.0
        for number, batch in enumerate(batches(ids, wanted, counts, size=_BATCH, chance=chance)):
            loss = _loss(weights, batch)
            for optimiser in optimisers:
                optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_([each for name, each in weights.items() if name != "table"], 1.0)
            for optimiser, schedule in zip(optimisers, schedules, strict=True):
                optimiser.step()
                schedule.step()
            running += 0.02 * (float(loss.detach()) - running)
            progress.update(task, advance=1, description=f"{plan.name} loss {running:.4f}")
            if number % 200 == 0:
                progress.console.print(f"{plan.name} epoch {epoch} batch {number} of {size} loss {running:.4f}")
        _store(checkpoint, weights, [*optimisers, *schedules])
    return _averaged([plan.folder / f"{plan.name}-{epoch}.pt" for epoch in range(plan.epochs // 2, plan.epochs)])


def _averaged(checkpoints: Sequence[Path]) -> dict[str, NDArray[np.float32]]:
    """The mean of what several epochs ended with (stochastic weight averaging, Izmailov et al., 2018)."""
    total: dict[str, NDArray[np.float32]] = {}
    for path in checkpoints:
        for name, tensor in torch.load(path, weights_only=True)["weights"].items():
            total[name] = total.get(name, np.float32(0)) + tensor.detach().numpy() / np.float32(len(checkpoints))
    return total


def _read(row: Row, plain: list[int], read: Read, chance: random.Random) -> list[int]:
    return read(disguise(row.text, chance)) if chance.random() < _DISGUISED else plain


def _loss(weights: Weights, batch: Any) -> Any:
    found = logits(weights, torch.from_numpy(batch.ids), training=True)
    targets = torch.from_numpy(batch.targets)
    known = ~targets.isnan()
    each = functional.binary_cross_entropy_with_logits(found, targets.nan_to_num(), reduction="none")
    counted = known * torch.from_numpy(batch.weights) * _LABEL_WEIGHTS
    return (each * counted).sum() / (len(targets) * 4)


def _optimisers(weights: Weights, plan: Plan) -> list[Any]:
    groups: dict[str, list[Any]] = {"new": [], "old": []}
    for name, tensor in weights.items():
        if name != "table":
            groups["new" if name.startswith(_NEW_LAYERS) else "old"].append(tensor)
    dense = torch.optim.AdamW(
        [
            {"params": groups["new"], "lr": _NEW_RATE * plan.lively},
            {"params": groups["old"], "lr": _RATE * plan.lively},
        ],
        weight_decay=_DECAY,
    )
    return [dense, torch.optim.SparseAdam([weights["table"]], lr=_TABLE_RATE * plan.lively)]


def _rate(done: float) -> float:
    """A linear rise, then a linear fall to 3%."""
    return done / _WARM_UP if done < _WARM_UP else max(0.03, (1 - done) / (1 - _WARM_UP))


def _store(path: Path, weights: Weights, others: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({"weights": weights, "others": [each.state_dict() for each in others]}, partial)
    partial.rename(path)


def _restore(path: Path, weights: Weights, others: list[Any]) -> None:
    stored = torch.load(path, weights_only=True)
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.copy_(stored["weights"][name])
    for each, state in zip(others, stored["others"], strict=True):
        each.load_state_dict(state)
