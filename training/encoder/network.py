"""The encoder in torch, for training: the arithmetic of `chat_moderator.classifiers.encoder_network` on tensors."""

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from chat_moderator.classifiers.encoder_tokens import EPSILON, GAP, ORDERS
from chat_moderator.types import LABELS

Weights = dict[str, Any]
"""Tensors by name; `table` is the embedding."""

_PEAK: Final = 256
_CONTEXT: Final = 192
_HIDDEN: Final = 256
_FEATURE_DROPOUT: Final = 0.1
_HIDDEN_DROPOUT: Final = 0.2
_WORD_DROPOUT: Final = 0.04


def add_head(weights: dict[str, NDArray[np.float32]], seed: int) -> dict[str, NDArray[np.float32]]:
    """The layers that the pretrained encoder has not: context, peak pooling, hidden layer, one output a label."""
    chance = np.random.default_rng(seed)

    def layer(size: int, outputs: int) -> NDArray[np.float32]:
        return chance.standard_normal((size, outputs), np.float32) / np.float32(np.sqrt(size))

    spoken, features = weights["dense_1"].shape[1], len(weights["sum"])
    return weights | {
        "context": layer(features, _CONTEXT),
        "context_bias": np.zeros(_CONTEXT, np.float32),
        "overview": layer(2 * features, _CONTEXT),
        "weighed": layer(2 * _CONTEXT, _PEAK) * 0.4,
        "peak": layer(features, _PEAK),
        "peak_bias": np.zeros(_PEAK, np.float32),
        "hidden": layer(spoken + _PEAK, _HIDDEN),
        "hidden_bias": np.zeros(_HIDDEN, np.float32),
        "out": layer(_HIDDEN, len(LABELS)) * 0.1,
        "out_bias": np.full(len(LABELS), -2.0, np.float32),
    }


def tensors(weights: dict[str, NDArray[np.float32]]) -> Weights:
    """Trainable copies."""
    return {name: torch.from_numpy(np.array(array, np.float32)).requires_grad_() for name, array in weights.items()}


def logits(weights: Weights, ids: Any, *, training: bool) -> Any:
    """(texts, labels) from ids (texts, longest), -1 where a text has ended."""
    inside = ids >= 0
    if training:
        ids = torch.where(torch.rand(ids.shape) < _WORD_DROPOUT, torch.zeros_like(ids), ids)
    lengths = inside.sum(1, keepdim=True)
    mask = functional.pad(inside, (0, GAP)).reshape(-1, 1).float()
    embedded = functional.embedding(
        functional.pad(ids, (0, GAP)).reshape(-1).clamp(min=0), weights["table"], sparse=True
    )
    embedded = embedded * mask
    projected = functional.layer_norm(
        embedded @ weights["project"] + weights["project_bias"],
        weights["project_gain"].shape,
        weights["project_gain"],
        weights["project_shift"],
        EPSILON,
    )
    projected = projected * mask
    width = weights["first_0_bias"].shape[0]
    features = [embedded]
    for branch, (size, before) in enumerate(ORDERS):
        here = projected[:, branch * width : (branch + 1) * width]
        for layer in ("first", "second"):
            wider = functional.pad(here, (0, 0, before, size - 1 - before))
            windows = torch.cat([wider[place : place + len(here)] for place in range(size)], dim=1)
            found = torch.relu(windows @ weights[f"{layer}_{branch}"] + weights[f"{layer}_{branch}_bias"])
            here = (found + here) * mask
        features.append(here)
    joint = torch.cat(features, dim=1)
    joint = functional.layer_norm(joint, joint.shape[1:], eps=EPSILON)
    joint = functional.dropout(joint, _FEATURE_DROPOUT, training).view(len(ids), -1, joint.shape[1])
    outside = ~mask.view(len(ids), -1, 1).bool()
    total = joint.masked_fill(outside, 0).sum(1)
    highest = joint.masked_fill(outside, -1e4).max(1).values
    counts = lengths.float()
    overview = torch.cat([highest, total / counts], dim=1) @ weights["overview"] + weights["context_bias"]
    weighed = torch.relu(joint @ weights["context"] + overview[:, None]).masked_fill(outside, 0)
    root = counts.sqrt()
    pooled = torch.cat([weighed.max(1).values, weighed.sum(1) / root], dim=1)
    return _head(weights, total, highest, pooled, root, training=training)


def _head(weights: Weights, total: Any, highest: Any, pooled: Any, root: Any, *, training: bool) -> Any:
    mean = total @ weights["sum"] / root + root * weights["sum_bias"]
    inner = torch.relu(mean @ weights["dense_0"])
    spoken = torch.relu(mean @ weights["dense_skip"] + inner @ weights["dense_1"])
    peak = torch.relu(highest @ weights["peak"] + pooled @ weights["weighed"] + weights["peak_bias"])
    joint = functional.dropout(torch.cat([spoken, peak], dim=1), _HIDDEN_DROPOUT, training)
    hidden = functional.dropout(
        torch.relu(joint @ weights["hidden"] + weights["hidden_bias"]), _HIDDEN_DROPOUT, training
    )
    return hidden @ weights["out"] + weights["out_bias"]
