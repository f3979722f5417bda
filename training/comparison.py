"""The page that compares classifiers: a row a measure, a column a classifier, every number from the results."""

from typing import Final, NamedTuple

from training.tables import Section, interval

Results = dict[str, Section]


class _Row(NamedTuple):
    """A measure: its name, the section and key it stands under, the set it is of, whether it is shown as a share."""

    name: str
    section: str
    key: str
    of: str = ""
    percent: bool = False


_SETS: Final = "AUROC by set"
_LABELS: Final = "Labels"
_CHAT: Final = "Benign chat"
_WRITTEN: Final = "Held-out writers"
_HATE: Final = "HateCheck"

_ROWS: Final = (
    *(
        _Row(f"toxicity, {name}", _SETS, f"toxicity / {name}", name)
        for name in ("davidson", "surge_toxicity", "convabuse", "paradetox")
    ),
    _Row("**English toxicity, mean of 4 sets**", _SETS, "English toxicity, mean of 4 sets", "davidson paradetox"),
    *(
        _Row(f"toxicity, {name}", _SETS, f"toxicity / {name}", name)
        for name in ("wiki_cat", "germeval18", "toldbr", "korean_hate", "cold_zh")
    ),
    *(_Row(f"spam, {name}", _SETS, f"spam / {name}", name) for name in ("sms_spam", "tgspam", "youtube_spam")),
    *(
        _Row(f"{label}, against toxicity 0", _LABELS, f"{label} against toxicity 0")
        for label in ("threat", "insult", "identity_attack")
    ),
    *(
        _Row(f"{label}, within toxic", _LABELS, f"{label} within toxic")
        for label in ("threat", "insult", "identity_attack")
    ),
    _Row("held-out writers, English, AUROC", _WRITTEN, "en: AUROC"),
    _Row("– abuse held or blocked", _WRITTEN, "en: abuse held or blocked", percent=True),  # noqa: RUF001
    _Row("– fine lines blocked", _WRITTEN, "en: fine lines blocked", percent=True),  # noqa: RUF001
    _Row("– fine lines held", _WRITTEN, "en: fine lines held", percent=True),  # noqa: RUF001
    _Row("benign IRC blocked", _CHAT, "irc_ubuntu: any label >= 0.8", percent=True),
    _Row("benign IRC held or blocked", _CHAT, "irc_ubuntu: any label >= 0.5", percent=True),
    _Row("goemotions, positive, held or blocked", _CHAT, "goemotions (positive): any label >= 0.5", percent=True),
    _Row("HateCheck, accuracy at 0.5", _HATE, "hatecheck_dev en: accuracy"),
    _Row("HateCheck, macro-F1", _HATE, "hatecheck_dev en: macro-F1"),
    _Row("HateCheck, non-hateful right", _HATE, "hatecheck_dev en: non-hateful right", percent=True),
    _Row("identity templates, English, AUROC", "Identities", "en: AUROC"),
    _Row("– harmless held or blocked", "Identities", "en: harmless held", percent=True),  # noqa: RUF001
    _Row("disguises that can be undone, kept", "Disguises", "undoable: mean", percent=True),
    _Row("fuzzy disguises, kept", "Disguises", "fuzzy: mean", percent=True),
)
_SPEED: Final = ("never seen before, batch 1024", "as measured, batch 1024")


class _Published(NamedTuple):
    what: str
    measure: str
    figure: str
    source: str


_HATECHECK: Final = (
    'Röttger et al., "HateCheck: Functional Tests for Hate Speech Detection Models" (ACL 2021, '
    "[arXiv:2012.15606](https://arxiv.org/abs/2012.15606))"
)
_DETOXIFY: Final = "[the README of detoxify](https://github.com/unitaryai/detoxify)"
_PUBLISHED: Final = (
    _Published("unitary/toxic-bert (detoxify `original`)", "mean AUROC, Jigsaw Toxic Comments", "0.9864", _DETOXIFY),
    _Published("detoxify `unbiased`", "Jigsaw Unintended Bias, its own score", "0.9374", _DETOXIFY),
    _Published("detoxify `multilingual`", "AUROC, Jigsaw Multilingual", "0.9211", _DETOXIFY),
    _Published("Perspective", "HateCheck, whole suite: accuracy", "0.766", _HATECHECK),
    _Published("Perspective", "HateCheck, whole suite: macro-F1", "0.702", _HATECHECK),
    _Published(
        "OpenAI moderation (2022)",
        "no figure on these texts; area under the precision-recall curve on its own test set is in the paper",
        "see the source",
        'Markov et al., "A Holistic Approach to Undesired Content Detection in the Real World" (AAAI 2023, '
        "[arXiv:2208.03274](https://arxiv.org/abs/2208.03274))",
    ),
)


def comparison(found: dict[str, Results]) -> dict[str, str]:
    """What fills the places of comparison.md."""
    return {
        "versions": "\n".join(_versions(found)),
        "table": "\n".join(_table(found)),
        "unfair": "\n".join(_unfair(found)),
        "published": "\n".join(
            ["| what | measure | figure | source |", "|---|---|---|---|"]
            + [f"| {each.what} | {each.measure} | {each.figure} | {each.source} |" for each in _PUBLISHED]
        ),
    }


def _versions(found: dict[str, Results]) -> list[str]:
    versions = {name: sections.get("About", {}).get("version", "") for name, sections in found.items()}
    return [f"- {name}: `{version}`" for name, version in versions.items() if version]


def _table(found: dict[str, Results]) -> list[str]:
    rows = [f"| | {' | '.join(found)} |", f"|---|{'---|' * len(found)}"]
    for row in _ROWS:
        cells = [_cell(sections, row) for sections in found.values()]
        if any(cell != "–" for cell in cells):  # noqa: RUF001
            rows.append(f"| {row.name} | {' | '.join(cells)} |")
    speeds = [sections["Speed"] for sections in found.values()]
    rates = [next((speed[key] for key in _SPEED if key in speed), None) for speed in speeds]
    shown = [f"{rate:,.0f}" if rate else "–" for rate in rates]  # noqa: RUF001
    return [*rows, f"| messages a CPU-second, new chat | {' | '.join(shown)} |"]


def _cell(sections: Results, row: _Row) -> str:
    value = sections[row.section].get(row.key)
    if value is None:
        return "–"  # noqa: RUF001
    unfair = "†" if set(row.of.split()) & set(_trained_on(sections)) else ""
    if not row.percent:
        return interval(value) + unfair
    return f"{100 * (value['value'] if isinstance(value, dict) else value):.1f}%{unfair}"


def _unfair(found: dict[str, Results]) -> list[str]:
    lines = [
        f"† {name} learnt from {', '.join(trained_on)}, or from the texts that they are a part of."
        for name, sections in found.items()
        if (trained_on := _trained_on(sections))
    ]
    return lines or ["No classifier here learnt from a set that it is measured on."]


def _trained_on(sections: Results) -> list[str]:
    said = sections.get("About", {}).get("trained on", "")
    return [name for name in said.split(", ") if name]
