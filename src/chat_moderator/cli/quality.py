"""What scores and verdicts are worth on labelled texts, as tables, as JSON and as plots."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from chat_moderator.cli.measures import BINS, Bin, Flags, Floats, auroc, calibration_error, reliability
from chat_moderator.cli.output import table
from chat_moderator.moderator.bounds import upper_bound
from chat_moderator.types import LABELS, Assessment, Verdict

if TYPE_CHECKING:
    from rich.table import Table

POSITIVE: Final = 0.5
_TWO_SIDED: Final = 0.975


class Label(msgspec.Struct, frozen=True):
    """A label on the texts where it is known; `auroc` is None with one class only."""

    texts: int
    positive: int
    auroc: float | None
    error: float
    bins: list[Bin | None]


class Share(msgspec.Struct, frozen=True):
    """A share of texts with its 95% interval (Clopper and Pearson, 1934); all 0 to 1."""

    count: int
    texts: int
    low: float
    high: float

    def __str__(self) -> str:
        share = f"{self.count / self.texts:.1%} [{self.low:.1%}, {self.high:.1%}]" if self.texts else "no such text"
        return f"{share} of {self.texts:,}"


class Quality:
    """Measures once, shows in several ways.

    Args:
        labels: (texts, LABELS), 0 to 1, NaN where nothing is known.
        assessments: a text each.
        verdicts: a text each.
        acting: labels that the policy acts on; a text is abusive where one of them is known to be 0.5 or more, fine
            where one is known and none is.
    """

    def __init__(
        self,
        labels: Floats,
        assessments: Sequence[Assessment],
        verdicts: Sequence[Verdict],
        acting: Sequence[str],
    ) -> None:
        self.labels = {
            name: found for column, name in enumerate(LABELS) if (found := _label(name, labels[:, column], assessments))
        }
        known = labels[:, [LABELS.index(name) for name in acting]]
        abusive = (np.nan_to_num(known, nan=0.0) >= POSITIVE).any(axis=1)
        fine = ~np.isnan(known).all(axis=1) & ~abusive
        blocked = np.array([verdict is Verdict.BLOCK for verdict in verdicts], bool)
        held = np.array([verdict is Verdict.HOLD for verdict in verdicts], bool)
        self.shares = {
            "abuse caught (held or blocked)": _share((blocked | held)[abusive]),
            "abuse blocked": _share(blocked[abusive]),
            "fine texts blocked": _share(blocked[fine]),
            "fine texts held": _share(held[fine]),
        }

    def tables(self) -> "list[Table]":
        """For people; empty where nothing was labelled."""
        if not self.labels:
            return []
        verdicts = table("verdicts", "share [95% interval]")
        for name, share in self.shares.items():
            verdicts.add_row(name, str(share))
        scores = table("label", "texts", "positive", "AUROC", "calibration error")
        reliable = table("share that has the label, by score", *(f"{n / BINS:.1f}-" for n in range(BINS)))
        for name, found in self.labels.items():
            area = f"{found.auroc:.3f}" if found.auroc is not None else "one class"
            scores.add_row(name, f"{found.texts:,}", f"{found.positive:,}", area, f"{found.error:.3f}")
            reliable.add_row(name, *(f"{each.positive:.2f} ({each.texts:,})" if each else "" for each in found.bins))
        return [verdicts, scores, reliable]

    def plain(self) -> dict[str, Any]:
        """For programs."""
        return {"shares": self.shares, "labels": self.labels}

    def plots(self) -> dict[str, tuple[float, list[Bin | None]]]:
        """By label, its calibration error and its bins."""
        return {name: (found.error, found.bins) for name, found in self.labels.items()}


def _label(name: str, known: Floats, assessments: Sequence[Assessment]) -> Label | None:
    here = [index for index in np.flatnonzero(~np.isnan(known)).tolist() if name in assessments[index].scores]
    if not here:
        return None
    positive = known[here] >= POSITIVE
    scores = np.array([assessments[index].scores[name] for index in here])
    area, bins = auroc(scores, positive), reliability(scores, positive)
    return Label(len(here), int(positive.sum()), None if np.isnan(area) else area, calibration_error(bins), bins)


def _share(flags: Flags) -> Share:
    count, texts = int(flags.sum()), len(flags)
    low = 1 - upper_bound(texts - count, texts, confidence=_TWO_SIDED)
    return Share(count, texts, low, upper_bound(count, texts, confidence=_TWO_SIDED))
