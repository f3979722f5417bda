"""Early exits: which texts a cheap tier may let through alone, so that two promises hold with 95% confidence.

A text may leave early only to be allowed, so whatever an exit gets wrong is something that the top tier would have
acted on. How alarming a text is comes as a level from 0 to 255, and a text leaves below one. Levels are tried from the
strictest on and the first that cannot be shown to keep both promises ends the search, so that trying many costs no
confidence: Learn then Test by fixed-sequence testing (Angelopoulos et al., 2021), each test an exact binomial one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from chat_moderator.errors import ConfigError
from chat_moderator.moderator.bounds import CONFIDENCE, at_most
from chat_moderator.types import Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVELS: Final = 256
LOWEST: Final = 0.1
"""The lowest score that calibration texts keep: under a policy that acts below it, nothing leaves early."""

_LOWEST_LOGIT: Final = -8.0
_LEVELS_A_LOGIT: Final = 16.0
_UNITS: Final = 1000

Limits = tuple[Mapping[str, float], ...]
"""For each place with a policy of its own: the lowest score of each label at which anything may happen."""


class Sample(Struct, frozen=True):
    """What the calibration texts came to, small enough to be shipped and enough to suit the exits to any policy.

    `tiers` are the versions of the classifiers, cheapest first, and `gate` that of what gives the first tier its
    levels, empty for its own scores. `quiet` counts, by exit and level, the texts on which the top tier gave every
    label less than 0.1; each row of `heard` is one other text: its level at each exit, then the top tier's scores in
    thousandths, rounded down, in the order of `labels`.
    """

    tiers: tuple[str, ...]
    labels: tuple[str, ...]
    quiet: tuple[tuple[int, ...], ...]
    heard: tuple[tuple[int, ...], ...]
    gate: str = ""
    format: int = 1

    @property
    def texts(self) -> int:
        """How many texts there were."""
        return sum(self.quiet[0]) + len(self.heard)


class Exit(Struct, frozen=True):
    """What one exit does to the calibration texts: those below `level` leave, `missed` of the `acted` ones too."""

    level: int
    below: int
    missed: int
    acted: int
    texts: int


def levels(alarm: "NDArray[np.floating]") -> "NDArray[np.int64]":
    """Scores from 0 to 1 as levels: sixteenths of a logit, so that small scores are told apart."""
    clipped = np.clip(alarm.astype(np.float64), 1e-6, 1 - 1e-6)
    logits = np.log(clipped / (1 - clipped))
    found: NDArray[np.int64] = ((logits - _LOWEST_LOGIT) * _LEVELS_A_LOGIT).clip(0, LEVELS - 1).astype(np.int64)
    return found


def lowest(limits: Limits, labels: Sequence[str]) -> "NDArray[np.float64]":
    """(labels,): the lowest score at which the policy acts anywhere; above 1 where it never does."""
    return np.array([min((place.get(label, 2.0) for place in limits), default=2.0) for label in labels])


def sample(
    tiers: Sequence[str],
    labels: Sequence[str],
    found: Sequence["NDArray[np.int64]"],
    top: "NDArray[np.floating]",
    *,
    gate: str = "",
) -> Sample:
    """Keeps the levels of each exit (texts) and the top tier's scores (texts, labels)."""
    # A score that is 0.3 as a float32 is a little more or less: it counts as 0.3.
    thousandths = np.floor(top.astype(np.float64) * _UNITS + 1e-3).astype(np.int64)
    loud = (thousandths >= LOWEST * _UNITS).any(axis=1)
    return Sample(
        tiers=tuple(tiers),
        labels=tuple(labels),
        quiet=tuple(tuple(np.bincount(each[~loud], minlength=LEVELS).tolist()) for each in found),
        heard=tuple(map(tuple, np.column_stack([*(each[loud] for each in found), thousandths[loud]]).tolist())),
        gate=gate,
    )


def choose(kept: Sample, limits: Limits, *, max_disagreement: float, max_missed: float) -> tuple[Exit | None, ...]:
    """The exit of each tier but the top one; None where none can be shown to keep the promises in every place.

    Several exits share the promises and the confidence evenly.

    Args:
        kept: the calibration texts.
        limits: from what scores on the policy acts, by label, for each place.
        max_disagreement: the share of texts whose verdict may differ from the top tier's, 0 to 1.
        max_missed: the share of what the top tier would act on that exits may let through, 0 to 1.
    """
    exits = len(kept.quiet)
    doubt = (1 - CONFIDENCE) / exits
    if not limits or any(limit < LOWEST for place in limits for limit in place.values()):
        return (None,) * exits
    return tuple(
        min(
            (
                _exit(kept, number, place, doubt, (max_disagreement / exits, max_missed / exits))
                for place in limits
            ),
            key=lambda found: found.level if found else 0,
        )
        for number in range(exits)
    )  # fmt: skip


def _exit(
    kept: Sample, number: int, place: Mapping[str, float], doubt: float, promised: tuple[float, float]
) -> Exit | None:
    """The loosest exit that is shown to keep the promises under the limits of one place."""
    begin = len(kept.quiet)
    columns = [
        (begin + column, place[label] * _UNITS) for column, label in enumerate(kept.labels) if label in place
    ]  # fmt: skip
    acted_at, all_at = [0] * LEVELS, list(kept.quiet[number])
    for row in kept.heard:
        all_at[row[number]] += 1
        acted_at[row[number]] += any(row[column] >= limit for column, limit in columns)
    acted, texts = sum(acted_at), kept.texts
    below = missed = 0
    found: Exit | None = None
    for level in range(LEVELS):
        below += all_at[level]
        missed += acted_at[level]
        sure = at_most(missed, texts, promised[0]) <= doubt and at_most(missed, acted, promised[1]) <= doubt
        if not (acted and sure):
            break
        found = Exit(level + 1, below, missed, acted, texts)
    return found


def read(path: Path, key: str) -> Sample:
    """A file written by `write`; `key` is where the settings name it.

    Raises:
        ConfigError: the file is missing or is not one.
    """
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Sample)
    except OSError as problem:
        raise ConfigError(key, f"{path} cannot be read: {problem.strerror}") from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(key, f"{path} does not hold calibrated exits: {problem}") from problem
    exits, width = len(kept.quiet), len(kept.quiet) + len(kept.labels)
    fits = exits == len(kept.tiers) - 1 > 0 and all(len(row) == width for row in kept.heard)
    counted = all(len(each) == LEVELS and min(each) >= 0 for each in kept.quiet)
    levelled = all(0 <= level < LEVELS for row in kept.heard for level in row[:exits])
    if kept.format != 1 or not (fits and counted and levelled):
        raise ConfigError(key, f"{path} does not hold calibrated exits: its parts do not fit together")
    return kept


def write(path: Path, kept: Sample) -> None:
    """Writes the sample as JSON, a text a line."""
    path.write_bytes(msgspec.json.encode(kept).replace(b"],[", b"],\n[") + b"\n")
