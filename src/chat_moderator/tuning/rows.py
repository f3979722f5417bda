"""A community's labelled messages: where they come from, what each says, which are learnt from and which are not."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from chat_moderator.classifiers.lexicon import BUNDLED as LEXICON
from chat_moderator.errors import ConfigError
from chat_moderator.policy.presets import PRESETS
from chat_moderator.store.labels import Label
from chat_moderator.store.reviews import Review, ReviewState
from chat_moderator.types import LABELS, Struct

ACTED_ON: Final = tuple(PRESETS["default"].blocks)
"""The labels that the default preset removes messages for."""

POSITIVE: Final = 0.5
_HARMLESS: Final = ("severe_toxicity", "threat", "insult", "identity_attack")
"""What is not toxic is none of these either."""
_EVERY: Final = 4
_MARK: Final = b"\xef\xbb\xbf"


class Row(Struct, frozen=True):
    """A text and what is known of its scores, each 0 to 1, by label."""

    text: str
    labels: dict[str, float]

    @property
    def bad(self) -> bool | None:
        """Whether the message should go (True) or stay (False) by the default preset; None where that is not said."""
        if any(self.labels.get(label, 0.0) >= POSITIVE for label in ACTED_ON):
            return True
        return False if "toxicity" in self.labels else None


class _Line(msgspec.Struct):
    """What a line may hold; other fields are passed over."""

    text: str
    labels: dict[str, float | bool] = {}
    verdict: Literal["allow", "block"] | None = None


def read(path: Path) -> list[Row]:
    """The rows of a JSON Lines file: `{"text", "labels": {"toxicity": 1, ...}}`, or `"verdict": "allow"` or `"block"`.

    Raises:
        ConfigError: the file cannot be read, or a line is not a row; it is named by its number.
    """
    try:
        lines = path.read_bytes().removeprefix(_MARK).split(b"\n")
    except OSError as problem:
        raise ConfigError(str(path), f"cannot be read: {problem.strerror}") from problem
    return [_row(line, f"{path} line {number}") for number, line in enumerate(lines, start=1) if line.strip()]


def reviewed(reviews: Iterable[Review]) -> list[Row]:
    """What moderators said of held and blocked messages. Erased texts and disclosures of self-harm teach nothing."""
    found = []
    for review in reviews:
        text, decision = review.record.message.text, review.record.decision
        if not text.strip() or decision.label == "self_harm":
            continue
        approved = review.state is ReviewState.APPROVED
        # An operator's rule decides for reasons of its own: its label is only the highest one.
        by_label = decision.label in LABELS and not decision.rule.startswith("rule")
        decided = decision.label if by_label else "toxicity"
        found.append(Row(text, _completed({decided: 0.0 if approved else 1.0}, allowed=approved)))
    return found


def suggested(labels: Iterable[Label]) -> list[Row]:
    """What clients suggested through `comments:suggestscore`."""
    found = []
    for label in labels:
        known = {name: score for name, score in label.scores.items() if name in LABELS}
        if known and label.text.strip():
            found.append(Row(label.text, _completed(known, allowed=False)))
    return found


def anchors() -> list[Row]:
    """Rows of which nothing is known, so that what is shipped stays as it is: every fourth term of the word list."""
    lines = [line.split("\t") for line in LEXICON.read_text("utf-8").splitlines() if not line.startswith("#")]
    return [Row(fields[-1], {}) for fields in lines[::_EVERY]]


def latest(rows: Sequence[Row], most: int) -> list[Row]:
    """Each text once, as it was labelled last, and the last `most` of them; case and white space make no other text."""
    return list({_same(row.text): row for row in rows}.values())[-most:]


def split(rows: Sequence[Row], held_out: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows to learn from and rows to measure on, the same share of each kind, by a hash of seed and text."""
    learnt: list[Row] = []
    measured: list[Row] = []
    for kind in (True, False, None):
        some = sorted(
            (row for row in rows if row.bad is kind),
            key=lambda row: hashlib.sha256(f"{seed}:{_same(row.text)}".encode("utf-8", "surrogatepass")).digest(),
        )
        count = round(held_out * len(some))
        measured += some[:count]
        learnt += some[count:]
    return learnt, measured


def fingerprint(rows: Sequence[Row]) -> str:
    """sha256 of the rows, whatever their order."""
    return hashlib.sha256(b"\n".join(sorted(map(_ENCODER.encode, rows)))).hexdigest()


def _row(line: bytes, place: str) -> Row:
    try:
        given = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(
            place, f'not {{"text": ..., "labels": ...}} or {{"text": ..., "verdict": ...}}: {problem}'
        ) from problem
    if not given.text.strip():
        raise ConfigError(place, "the text is empty")
    labels = {name: float(value) for name, value in given.labels.items()}
    if unknown := sorted(labels.keys() - set(LABELS)):
        raise ConfigError(place, f"there is no label {unknown[0]!r}; there are {', '.join(LABELS)}")
    if wrong := sorted(name for name, value in labels.items() if not 0 <= value <= 1):
        raise ConfigError(place, f"{wrong[0]} is {labels[wrong[0]]:g}; 0 to 1 is allowed")
    if not labels and given.verdict is None:
        raise ConfigError(place, "there are neither labels nor a verdict")
    said = [label for label in ACTED_ON if labels.get(label, 0.0) >= POSITIVE]
    if given.verdict == "allow" and said:
        raise ConfigError(place, f"the verdict is allow, but {said[0]} is {labels[said[0]]:g}")
    if given.verdict == "block" and not said:
        if "toxicity" in labels:
            raise ConfigError(place, f"the verdict is block, but none of {', '.join(ACTED_ON)} is {POSITIVE:g} or more")
        labels["toxicity"] = 1.0
    return Row(given.text, _completed(labels, allowed=given.verdict == "allow"))


def _completed(labels: dict[str, float], *, allowed: bool) -> dict[str, float]:
    """What else follows: nothing removes what is allowed, and what is not toxic is no insult."""
    implied = ACTED_ON if allowed else _HARMLESS if labels.get("toxicity") == 0 else ()
    return dict.fromkeys(implied, 0.0) | labels


def _same(text: str) -> str:
    return " ".join(text.casefold().split())


_DECODER: Final[Any] = msgspec.json.Decoder(_Line)
_ENCODER: Final = msgspec.json.Encoder(order="sorted")
