"""The tables of the model cards, as lines of Markdown."""

from typing import Any

from chat_moderator.types import LABELS

Section = dict[str, Any]


def interval(value: Any) -> str:
    """`0.912 [0.901, 0.923]`, a plain number or text as it is, or a dash where there was nothing to measure."""
    if isinstance(value, str):
        return value
    if value is None:
        return "–"  # noqa: RUF001
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def percent(value: Section) -> str:
    return f"{100 * value['value']:.1f}%"


def label_table(metadata: dict[str, Any]) -> list[str]:
    rows = ["| label | training rows | positive | |", "|---|---|---|---|"]
    for label in LABELS:
        total, positive = metadata["rows"][label]
        note = "**experimental**: too few positives to be relied on" if label in metadata["experimental"] else ""
        rows.append(f"| {label} | {total:,} | {positive:,} | {note} |")
    return rows


def toxicity_table(section: Section) -> list[str]:
    rows = ["| set | AUROC | texts | toxic |", "|---|---|---|---|"]
    for name, value in section.items():
        if name.startswith("toxicity / "):
            rows.append(f"| {name[11:]} | {interval(value)} | {value['texts']:,} | {value['positives']:,} |")
        elif name.startswith("English"):
            rows.append(f"| **{name}** | {interval(value)} | | |")
    return rows


def other_labels_table(labels: Section, sets: Section) -> list[str]:
    rows = ["| label | against toxicity 0 | within toxic | calibration error on chat |", "|---|---|---|---|"]
    for label in LABELS:
        easy, hard = labels.get(f"{label} against toxicity 0"), labels.get(f"{label} within toxic")
        error = labels.get(f"{label} calibration error on chat")
        rows.append(f"| {label} | {interval(easy)} | {interval(hard)} | {interval(error)} |")
    spam = ", ".join(f"{name[7:]} {interval(value)}" for name, value in sets.items() if name.startswith("spam / "))
    return [*rows, "", f"Spam by set: {spam}."]


def benign_table(section: Section) -> list[str]:
    rows = ["| | blocked (≥ 0.8) | held or blocked (≥ 0.5) | texts |", "|---|---|---|---|"]
    for name in (key.removesuffix(": any label >= 0.8") for key in section if key.endswith(": any label >= 0.8")):
        blocked, held = section[f"{name}: any label >= 0.8"], section[f"{name}: any label >= 0.5"]
        rows.append(f"| {name} | {100 * blocked['value']:.2f}% | {100 * held['value']:.2f}% | {held['texts']:,} |")
    return rows


def written_table(section: Section) -> list[str]:
    measures = ("abuse held or blocked", "fine lines blocked", "fine lines held")
    rows = [f"| | AUROC | {' | '.join(measures)} | lines |", "|---|---|---|---|---|---|"]
    for name in (key.removesuffix(": AUROC") for key in section if key.endswith(": AUROC")):
        shares = " | ".join(percent(section[f"{name}: {measure}"]) for measure in measures)
        area = section[f"{name}: AUROC"]
        rows.append(f"| {name} | {interval(area)} | {shares} | {area['texts']} |")
    return rows


def hate_check_table(section: Section) -> list[str]:
    rows = ["| | accuracy | macro-F1 | non-hateful right |", "|---|---|---|---|"]
    for name in (key.removesuffix(": accuracy") for key in section if key.endswith(": accuracy")):
        f1, fine = section[f"{name}: macro-F1"], section[f"{name}: non-hateful right"]
        rows.append(f"| {name} | {interval(section[f'{name}: accuracy'])} | {f1:.3f} | {percent(fine)} |")
    right = [f"{key[14:]} {percent(value)}" for key, value in section.items() if key.startswith("functionality ")]
    return [*rows, "", f"English, right by functionality: {', '.join(right)}."]


def identity_table(section: Section) -> list[str]:
    rows = ["| templates | AUROC | harmless held or blocked | harmless blocked |", "|---|---|---|---|"]
    for name in (key.removesuffix(": AUROC") for key in section if key.endswith(": AUROC")):
        held, blocked = section[f"{name}: harmless held"], section[f"{name}: harmless blocked"]
        rows.append(f"| {name} | {interval(section[f'{name}: AUROC'])} | {percent(held)} | {percent(blocked)} |")
    apart = sorted((value, key[3:].split(":")[0]) for key, value in section.items() if "less the overall" in key)
    lowest = ", ".join(f"{name} {value:+.3f}" for value, name in apart[:5])
    highest = ", ".join(f"{name} {value:+.3f}" for value, name in apart[-5:])
    return [*rows, "", f"English, AUROC by identity less the overall one: lowest {lowest}; highest {highest}."]


def plain_table(head: str, section: Section) -> list[str]:
    rows = [f"| {head} | |", "|---|---|"]
    for name, value in section.items():
        number = f"{value:,.0f}" if isinstance(value, float) and value > 1 else interval(value)
        rows.append(f"| {name} | {number} |")
    return rows
