"""What is added to a classifier's logits: logistic regression that starts from its answers and stays near them.

A text's correction is linear in its features, so by the representer theorem (Kimeldorf and Wahba, 1971) it is a
weighted sum of products with the texts learnt from. All is done on those products; the penalty is on the weights of
the features.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PENALTIES: Final = (1.0, 0.3, 0.1, 0.03, 0.01)
"""From hardly any change to much of it; tried in this order, each from where the one before ended.

Smaller ones suit the texts learnt from a little better still, and texts unlike them far worse.
"""

FOLDS: Final = 5
_STEPS: Final = 80
_LAST_STEPS: Final = 400
_ABUSE: Final = 0.25
"""The share of abuse that is assumed, whatever it is among the rows: they were picked because something is wrong."""
_TRUSTED: Final = 0.5
"""How much the shipped answer counts where no label is known, beside a known one."""


def targets(rows: Sequence[dict[str, float]], labels: Sequence[str], shipped: Floats) -> tuple[Floats, Floats]:
    """What each score should be, and how much that counts, (texts, labels) both: where nothing is known, as shipped."""
    known = np.array([[row.get(label, np.nan) for label in labels] for row in rows], np.float32)
    unknown = np.isnan(known)
    return np.where(unknown, shipped, known), np.where(unknown, np.float32(_TRUSTED), np.float32(1))


def balance(bad: Sequence[bool | None]) -> Floats:
    """A weight for each text, (texts, 1), under which a quarter is abuse."""
    said = np.array([-1 if each is None else int(each) for each in bad])
    weights = np.ones(len(said), np.float32)
    for kind, wanted in ((1, _ABUSE), (0, 1 - _ABUSE)):
        here = said == kind
        weights[here] = wanted * (said >= 0).sum() / max(here.sum(), 1)
    return weights[:, None]


def choose(
    products: Floats,
    logits: Floats,
    wanted: Floats,
    weights: Floats,
    tick: Callable[[], None] = lambda: None,
) -> float:
    """The penalty with the least loss on texts left out in turn (cross-validation), each FOLDS-th one together.

    Args:
        products: (texts, texts), of the features of each pair.
        logits: as shipped, (texts, labels).
        wanted: (texts, labels), 0 to 1.
        weights: (texts, labels).
        tick: called FOLDS times.
    """
    losses = np.zeros(len(PENALTIES))
    folds = np.arange(len(products)) % FOLDS
    for fold in range(FOLDS):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        within = products[np.ix_(inside, inside)]
        shares = np.zeros((len(inside), logits.shape[1]), np.float32)
        for place, penalty in enumerate(PENALTIES):
            shares = fit(within, logits[inside], wanted[inside], weights[inside], penalty, shares, _STEPS)
            moved = logits[outside] + products[np.ix_(outside, inside)] @ shares
            losses[place] += _loss(moved, wanted[outside], weights[outside])
        tick()
    return PENALTIES[int(losses.argmin())]


def fit(  # noqa: PLR0917 -- parallel arrays
    products: Floats,
    logits: Floats,
    wanted: Floats,
    weights: Floats,
    penalty: float,
    start: Floats | None = None,
    steps: int = _LAST_STEPS,
) -> Floats:
    """Each text's share in the correction of each label, (texts, labels): the correction is `products @ shares`.

    Minimises the weighted mean cross-entropy plus `penalty / 2` times the squared weights of the features, by
    accelerated gradient descent (Nesterov, 1983) for a fixed number of steps.
    """
    scaled = weights / weights.sum(axis=0)
    curvature = 0.25 * float((scaled * np.diag(products)[:, None]).sum(axis=0).max())
    step = np.float32(1 / (curvature + penalty))
    root = np.sqrt(penalty / (curvature + penalty))
    momentum = np.float32((1 - root) / (1 + root))
    shares = np.zeros_like(logits) if start is None else start
    ahead = shares
    for _ in range(steps):
        residual = scaled * (_sigmoid(logits + products @ ahead) - wanted)
        moved = ahead - step * (residual + np.float32(penalty) * ahead)
        ahead = moved + momentum * (moved - shares)
        shares = moved
    return shares


def logit(scores: Floats) -> Floats:
    """The inverse of the sigmoid; scores are kept a little away from 0 and 1."""
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    found: Floats = np.log(clipped / (1 - clipped))
    return found


def _sigmoid(logits: Floats) -> Floats:
    found: Floats = (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)
    return found


def _loss(logits: Floats, wanted: Floats, weights: Floats) -> float:
    return float((weights * (np.logaddexp(0, logits) - wanted * logits)).sum(dtype=np.float64))
