"""Tunes a classifier to labelled messages and measures it, before and after, on messages it did not learn from."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from chat_moderator.errors import ConfigError
from chat_moderator.policy.presets import PRESETS
from chat_moderator.protocols import Classifier
from chat_moderator.tuning import correction
from chat_moderator.tuning.encoder import EncoderReading
from chat_moderator.tuning.measures import Flags, Floats, Interval, Measure, auroc, change, with_interval
from chat_moderator.tuning.ngram import NgramReading
from chat_moderator.tuning.reading import Reading
from chat_moderator.tuning.rows import ACTED_ON, POSITIVE, Row, anchors, fingerprint
from chat_moderator.types import Struct

TUNABLE: Final[Mapping[str, Callable[[Sequence[str]], Reading]]] = MappingProxyType(
    {"encoder": EncoderReading, "ngram": NgramReading}
)
HELD_OUT: Final = 0.3
"""The share of the rows that is measured on and never learnt from."""
FEWEST: Final = 30
"""Messages that should go, and that should stay, without which nothing can be said."""
MOST: Final = 3_000
"""Rows learnt from and measured on: time grows with the square, and the latest count."""
TICKS: Final = correction.FOLDS + 3

_ANCHORED: Final = 0.4
"""How much the anchors count together, beside the rows learnt from."""
_RESAMPLES: Final = 500
_FEW: Final = 5
_PRESET: Final = PRESETS["default"]


class Measured(Struct, frozen=True):
    """One measure on the held-out rows, and by how much it rose; higher is better unless it is a fault."""

    name: str
    before: Interval
    after: Interval
    change: Interval
    fault: bool = False


class Tuned(Struct, frozen=True):
    """What came of it. `worse` says that the held-out rows are judged worse, or nothing was gained."""

    name: str
    base: str
    version: str
    penalty: float
    measures: tuple[Measured, ...]
    worse: bool


def tune(
    name: str,
    learnt: Sequence[Row],
    measured: Sequence[Row],
    folder: Path,
    *,
    seed: int,
    tick: Callable[[], None] = lambda: None,
) -> Tuned:
    """Learns, writes the classifier to `folder` and measures it as it is loaded from there.

    Args:
        name: of TUNABLE.
        learnt: rows to learn from.
        measured: others.
        folder: for the weights and their metadata.
        seed: with which the rows were split; noted in the metadata.
        tick: called TICKS times.
    """
    rows = [*learnt, *anchors()]
    reading = TUNABLE[name]([row.text for row in rows])
    tick()
    base = reading.classifier
    shipped = (1 / (1 + np.exp(-np.clip(reading.logits, -30, 30)))).astype(np.float32)
    wanted, weights = correction.targets([row.labels for row in rows], base.labels, shipped)
    weights *= correction.balance([row.bad for row in rows])
    weights[len(learnt) :] *= _ANCHORED * weights[: len(learnt)].sum(axis=0) / weights[len(learnt) :].sum(axis=0)
    penalty = correction.choose(reading.products, reading.logits, wanted, weights, tick)
    shares = correction.fit(reading.products, reading.logits, wanted, weights, penalty)
    tick()
    metadata: dict[str, Any] = {
        "labels": base.labels,
        "experimental": getattr(base, "experimental", ()),
        "base": base.version,
        "rows": {"learnt": len(learnt), "measured": len(measured)},
        "data": fingerprint([*learnt, *measured]),
        "seed": seed,
        "penalty": penalty,
    }
    tuned = reading.write(shares, folder, metadata)
    measures = compare(base, tuned, measured)
    tick()
    return Tuned(name, base.version, tuned.version, penalty, measures, worse(measures))


def check(rows: Sequence[Row]) -> None:
    """There is enough to learn from and to measure on.

    Raises:
        ConfigError: there is not.
    """
    bad = sum(row.bad is True for row in rows)
    fine = sum(row.bad is False for row in rows)
    if min(bad, fine) < FEWEST:
        raise ConfigError(
            "labels",
            f"{bad} messages that should go and {fine} that should stay are too few; at least {FEWEST} of each, better "
            "a few hundred, are needed",
        )


def compare(before: Classifier, after: Classifier, rows: Sequence[Row]) -> tuple[Measured, ...]:
    """Measures of both on rows that neither learnt from, verdicts by the default preset."""
    texts = [row.text for row in rows]
    old, new = before.score(texts), after.score(texts)
    said = np.array([row.bad is not None for row in rows])
    bad = np.array([row.bad is True for row in rows])[said]
    found = [_measured("AUROC", auroc, _worst(old, before)[said], _worst(new, after)[said], bad)]
    verdicts = _severities(old, before)[said], _severities(new, after)[said]
    found += [
        _measured("right, mean of both kinds", _right, *verdicts, bad),
        _measured("should go: held or removed", _caught, *verdicts, bad),
        _measured("should stay: removed", _removed, *verdicts, bad, fault=True),
        _measured("should stay: held", _held, *verdicts, bad, fault=True),
    ]
    for column, label in enumerate(before.labels):
        known = np.array([label in row.labels for row in rows])
        positive = np.array([row.labels.get(label, 0.0) >= POSITIVE for row in rows])[known]
        if min(positive.sum(), (~positive).sum()) >= _FEW:
            found.append(_measured(f"AUROC, {label}", auroc, old[known, column], new[known, column], positive))
    return tuple(found)


def worse(measures: Sequence[Measured]) -> bool:
    """Whether one of the first two fell for certain (the 95% interval of its change), or neither rose."""
    leading = [measure.change for measure in measures[:2]]
    return any(each.high < 0 for each in leading) or not any(each.value > 0 for each in leading)


def _measured(
    name: str, measure: Measure, before: Floats, after: Floats, flags: Flags, *, fault: bool = False
) -> Measured:
    return Measured(
        name,
        with_interval(measure, before, flags, resamples=_RESAMPLES),
        with_interval(measure, after, flags, resamples=_RESAMPLES),
        change(measure, before, after, flags, resamples=_RESAMPLES),
        fault,
    )


def _worst(scores: Floats, classifier: Classifier) -> Floats:
    """(texts,): the highest score among the labels that messages are removed for."""
    highest: Floats = scores[:, [classifier.labels.index(label) for label in ACTED_ON]].max(axis=1)
    return highest


def _severities(scores: Floats, classifier: Classifier) -> Floats:
    """(texts,): the severity of the verdict of the default preset."""
    found = np.zeros(len(scores), np.float32)
    for limits in (_PRESET.holds, _PRESET.blocks):
        columns = [classifier.labels.index(label) for label in limits]
        found += (scores[:, columns] >= np.array(list(limits.values()), np.float32)).any(axis=1)
    return found


def _caught(severities: Floats, bad: Flags) -> float:
    return _mean(severities[bad] > 0)


def _removed(severities: Floats, bad: Flags) -> float:
    return _mean(severities[~bad] > 1)


def _held(severities: Floats, bad: Flags) -> float:
    return _mean(severities[~bad] == 1)


def _right(severities: Floats, bad: Flags) -> float:
    return (_caught(severities, bad) + _mean(severities[~bad] == 0)) / 2


def _mean(flags: Flags) -> float:
    return float(flags.mean()) if len(flags) else float("nan")
