"""One label's weights: logistic regression with soft targets, weighted rows and an L2 penalty, by L-BFGS."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp  # type: ignore[import-untyped]
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]
from scipy.special import expit  # type: ignore[import-untyped]


class Linear(NamedTuple):
    """logit = features @ weights + bias."""

    weights: NDArray[np.float32]
    bias: float


def fit(
    features: "sp.csr_matrix[np.float32]",
    targets: NDArray[np.float32],
    row_weights: NDArray[np.float32],
    *,
    penalty: float,
    iterations: int,
) -> Linear:
    """Minimises the weighted mean cross-entropy plus `penalty / 2 * |weights|^2`; targets are 0 to 1. Deterministic."""
    transposed = features.T.tocsr()
    share = row_weights / row_weights.sum()
    count = features.shape[1]

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = parameters[:count]
        logits = features @ weights.astype(np.float32) + np.float32(parameters[count])
        residual = (share * (expit(logits) - targets)).astype(np.float32)
        value = float((share * (np.logaddexp(0, logits) - targets * logits)).sum(dtype=np.float64))
        gradient = np.empty(count + 1)
        gradient[:count] = transposed @ residual + penalty * weights
        gradient[count] = residual.sum()
        return value + penalty / 2 * float(weights @ weights), gradient

    start = np.zeros(count + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations, "maxcor": 6})
    return Linear(found.x[:count].astype(np.float32), float(found.x[count]))


def calibrate(
    logits: NDArray[np.float32], targets: NDArray[np.float32], row_weights: NDArray[np.float32]
) -> tuple[float, float]:
    """Slope and offset that make sigmoid(slope * logit + offset) a probability under `row_weights` (Platt, 1999).

    Without any rows nothing is changed.
    """
    if not len(logits):
        return 1.0, 0.0
    scale = float(np.abs(logits).mean()) or 1.0
    found = fit(sp.csr_matrix(logits[:, None] / scale), targets, row_weights, penalty=1e-6, iterations=200)
    return float(found.weights[0]) / scale, found.bias
