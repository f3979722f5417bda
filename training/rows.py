"""Labelled rows: where they come from, what is known about each, and which part of the work may see them."""

import gzip
import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS

CORPUS: Final = Path(__file__).parent / "corpus"
HELD_OUT_WRITERS: Final = frozenset({"w09", "w16", "w20", "w26"})

DIAGNOSTIC: Final = ("hatecheck_dev", "mhc_dev", "identity_madlibs")
"""Never trained on, nor calibrated on."""
EVALUATION_ONLY: Final = ("youtube_spam",)
SHARE_ALIKE: Final = ("toldbr", "korean_hate", "degibert", "wiki_cat")
TRAINABLE: Final = (
    "cold_zh", "convabuse", "davidson", "degibert", "edos", "germeval18", "goemotions", "guest_misogyny",
    "hatemoji_build", "irc_ubuntu", "korean_hate", "measuring_hate_ken20", "mlma", "paradetox", "sms_spam",
    "surge_toxicity", "tgspam", "toldbr", "toxic_spans", "wiki_cat",
)  # fmt: skip

UNKNOWN: Final = math.nan
_IMPLIED_BY_HARMLESS: Final = ("severe_toxicity", "threat", "insult", "identity_attack")
_RENAMED: Final = {"sexual": ("sexual_explicit",), "harassment": ("insult", "toxicity")}
LETTERS: Final = dict(zip("tvohiaxsp", LABELS, strict=True))
"""How the corpus writes a label."""

_MASKS: Final = (
    (re.compile(r"(?:https?://|www\.)\S+|\bhttps?\b(?=\s|$)"), "http://"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "http://"),
    (re.compile(r"(?<!\w)@\w+"), "@user"),
    (re.compile(r"\+?\d[\d\s().-]{7,}\d"), "0000000"),
)


class Row(msgspec.Struct, kw_only=True):
    """One labelled text. `labels` follows LABELS: 0 to 1, or NaN where nothing is known.

    `part` is `train`, `calibrate` or `test`. `weak` marks labels that are assumed of the whole source, not given;
    `paired` a written line that has a twin with the other verdict, which may be in another part.
    """

    id: str
    text: str
    source: str
    language: str
    labels: list[float]
    part: str
    weak: bool = False
    paired: bool = False
    functionality: str = ""
    group: str = ""
    writer: str = ""
    verdict: str = ""


def load(name: str, data: Path) -> list[Row]:
    """A set of `data` by name, with handles, links, e-mail addresses and phone numbers masked.

    Raises:
        ConfigError: the file is absent or not what it should be.
    """
    path = data / f"{name}.jsonl.gz"
    if not path.is_file():
        raise ConfigError("--data", f"{path} does not exist; DATA must be the folder that holds the labelled sets")
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            raw = [json.loads(line) for line in lines]
        has_test = any(row.get("split") in {"test", "dev"} for row in raw)
        has_both = has_test and {"test", "dev"} <= {row.get("split") for row in raw}
        rows = [_row(row, name, has_test=has_test, has_both=has_both) for row in raw]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            str(path), f"line by line JSON with id, text, labels and lang is expected: {error!r}"
        ) from error
    # The same text on both sides of a detoxification pair teaches nothing.
    return [row for row in rows if name != "paradetox" or row.labels[0] in {0.0, 1.0}]


def load_native(name: str, data: Path, field: str) -> dict[str, float]:
    """What a set of `data` keeps of its own under a name, as a number, by the id of the row."""
    with gzip.open(data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        raw = [json.loads(line) for line in lines]
    return {row["id"]: float(row["native"][field]) for row in raw if field in (row.get("native") or {})}


def load_corpus(folder: Path = CORPUS) -> list[Row]:
    """The lines written for this project; those of the held-out writers are `test`.

    Raises:
        ConfigError: a line is not `verdict<TAB>labels<TAB>text`.
    """
    return [row for path in sorted(folder.glob("*/*.tsv")) for row in _written(path)]


def _written(path: Path) -> Iterator[Row]:
    writer, _, phenomenon = path.stem.partition("-")
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t")
        if not line.strip():
            continue
        verdict = fields[0].lstrip("+")
        if len(fields) != 3 or verdict not in {"ok", "bad", "care"} or not set(fields[1]) <= {*LETTERS, "-"}:
            raise ConfigError(
                f"{path}:{number}", "expected verdict (ok, bad, care), labels (tvohiaxsp or -) and text, tab-divided"
            )
        given = {LETTERS[letter] for letter in fields[1] if letter != "-"}
        identity = f"corpus/{path.parent.name}/{path.stem}:{number}"
        yield Row(
            id=identity,
            text=mask(fields[2]),
            source="corpus",
            language=path.parent.name,
            labels=[float(label in given) for label in LABELS],
            part="test" if writer in HELD_OUT_WRITERS else "calibrate" if _tenth(identity) == 1 else "train",
            functionality=phenomenon,
            writer=writer,
            paired=line.startswith("+") or "".join(lines[number : number + 1]).startswith("+"),
            verdict=verdict,
        )


def mask(text: str) -> str:
    """The text without what could name a person or lead somewhere."""
    for pattern, stand_in in _MASKS:
        text = pattern.sub(stand_in, text)
    return text


def _row(raw: dict[str, Any], name: str, *, has_test: bool, has_both: bool) -> Row:
    weak = raw.get("weak") or {}
    return Row(
        id=raw["id"],
        text=mask(raw["text"]),
        source=name,
        language=raw["lang"],
        labels=label_vector({**weak, **raw["labels"]}),
        part=_part(raw, name, has_test=has_test, has_both=has_both),
        weak=bool(weak) and not raw["labels"],
        functionality=raw.get("functionality", ""),
        group=raw.get("target") or (raw.get("native") or {}).get("template", ""),
    )


def label_vector(labels: dict[str, float]) -> list[float]:
    """What the labels of a source say in terms of LABELS; NaN where they say nothing."""
    known: dict[str, float] = {}
    for name, value in labels.items():
        for label in _RENAMED.get(name, (name,)):
            known.setdefault(label, float(value))
    if labels.get("sexism") == 1:
        known["identity_attack"] = 1.0
    if known.get("toxicity") == 0:
        for label in _IMPLIED_BY_HARMLESS:
            known.setdefault(label, 0.0)
    return [known.get(label, UNKNOWN) for label in LABELS]


def _part(raw: dict[str, Any], name: str, *, has_test: bool, has_both: bool) -> str:
    if name in DIAGNOSTIC or name in EVALUATION_ONLY:
        return "test"
    tenth = _tenth(raw["id"])
    if name == "wiki_cat":
        return "test" if tenth < 5 else "train"
    if not has_test:
        return {0: "test", 1: "calibrate"}.get(tenth, "train")
    if has_both and raw.get("split") == "dev":
        return "calibrate"
    if raw.get("split") in {"test", "dev"}:
        return "test"
    return "calibrate" if not has_both and tenth == 1 else "train"


def _tenth(identity: str) -> int:
    return int(hashlib.sha256(identity.encode()).hexdigest()[:8], 16) % 10
