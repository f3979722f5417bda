"""Makes a narrow network of a wide one: fewer embedding dimensions (SVD), fewer channels (those that say most)."""

import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers.encoder_tokens import ORDERS

Arrays = dict[str, NDArray[np.float32]]


def narrow(wide: Arrays, frequency: NDArray[np.int64], *, dimensions: int, width: int) -> Arrays:
    """The start of a student. `frequency` says how often each piece occurs, which weighs the table's approximation."""
    found = dict(wide)
    weight = np.sqrt(frequency + 1.0)[:, None].astype(np.float32)
    weighted = wide["table"] * np.minimum(weight, np.quantile(weight, 0.999))
    _, basis = np.linalg.eigh(weighted.T @ weighted)
    basis = np.ascontiguousarray(basis[:, ::-1][:, :dimensions], np.float32)
    found["table"] = wide["table"] @ basis
    old = len(wide["first_0_bias"])
    kept = [_telling(wide, branch, old, width) for branch in range(len(ORDERS))]
    joined = np.concatenate([branch * old + channels for branch, channels in enumerate(kept)])
    found["project"] = (basis.T @ wide["project"])[:, joined]
    for name in ("project_bias", "project_gain", "project_shift"):
        found[name] = wide[name][joined]
    for branch, ((size, _), channels) in enumerate(zip(ORDERS, kept, strict=True)):
        inputs = np.concatenate([place * old + channels for place in range(size)])
        for layer in ("first", "second"):
            found[f"{layer}_{branch}"] = wide[f"{layer}_{branch}"][np.ix_(inputs, channels)]
            found[f"{layer}_{branch}_bias"] = wide[f"{layer}_{branch}_bias"][channels]
    embedded = wide["table"].shape[1]
    for name in ("sum", "peak", "context"):
        found[name] = np.concatenate([basis.T @ wide[name][:embedded], wide[name][embedded:][joined]])
    found["overview"] = np.concatenate(
        [
            part
            for half in np.split(wide["overview"], 2)
            for part in (basis.T @ half[:embedded], half[embedded:][joined])
        ]
    )
    return {name: np.ascontiguousarray(array, np.float32) for name, array in found.items()}


def _telling(wide: Arrays, branch: int, old: int, width: int) -> NDArray[np.int64]:
    """The channels of a branch with the largest weights into the pooling and the second convolution."""
    begin = wide["table"].shape[1] + branch * old
    out = np.square(wide["sum"][begin : begin + old]).sum(1)
    out = out / out.mean()
    peak = np.square(wide["peak"][begin : begin + old]).sum(1)
    second = np.square(wide[f"second_{branch}"]).reshape(-1, old, old).sum((0, 2))
    score = out + peak / peak.mean() + second / second.mean()
    return np.sort(np.argsort(-score)[:width])
