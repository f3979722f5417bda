"""`compare`: the scores of this moderator beside those of Perspective, on texts of one's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypedDict

import typer

from chat_moderator.cli.options import ConfigOption, read_settings
from chat_moderator.cli.output import hint, show, table
from chat_moderator.errors import ConfigError

if TYPE_CHECKING:
    from chat_moderator.cli.agreement import Pairs
    from chat_moderator.config import Settings
    from chat_moderator.types import Message

ENDPOINT: Final = "https://commentanalyzer.googleapis.com/v1alpha1"
ATTRIBUTES: Final = "TOXICITY,SEVERE_TOXICITY,IDENTITY_ATTACK,INSULT,PROFANITY,THREAT"
CHUNK: Final = 256


class Asked(TypedDict):
    """How Perspective is asked."""

    endpoint: str
    key: str
    language: str
    rate: float


def compare(  # noqa: PLR0917 -- options
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A text a line, or .jsonl with messages.")],
    perspective: Annotated[str, typer.Option(metavar="KEY", help="A key of the Perspective API.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The report, with plots; it needs no network.")] = Path(
        "compare.html"
    ),
    attributes: Annotated[str, typer.Option(metavar="NAMES", help="Attributes, divided by commas.")] = ATTRIBUTES,
    language: Annotated[
        str, typer.Option(metavar="TAG", help="Of the texts; detected by each side where it is empty.")
    ] = "",
    rate: Annotated[float, typer.Option(min=0.01, max=1000.0, metavar="N", help="Requests a second.")] = 1.0,
    endpoint: Annotated[str, typer.Option(metavar="URL", help="Where the Perspective API is.")] = ENDPOINT,
    config: ConfigOption = None,
) -> None:
    """Score a file here and with Perspective, and show how far they agree.

    Texts are sent to Perspective with doNotStore. What it refuses is counted and left out. The key may also be one of
    another chat-moderator, with its --endpoint.
    """
    from chat_moderator.cli.agreement import agreements  # noqa: PLC0415
    from chat_moderator.cli.agreement_page import page  # noqa: PLC0415

    names = [name.strip() for name in attributes.split(",") if name.strip()]
    pairs, refusals = _scored(
        _read(file),
        names,
        read_settings(config),
        {"endpoint": endpoint, "key": perspective, "language": language, "rate": rate},
    )
    found = agreements(pairs)
    if not found:
        why = "; ".join(f"{count} times {reason}" for reason, count in refusals.items())
        raise ConfigError("--perspective", f"no text was scored: {why or 'the file has none'}")
    output.write_text(page(found, refusals), "utf-8")
    made = table("attribute", "texts", "rank correlation", "mean difference", "agree at 0.7", "at 0.8", "at 0.9")
    for each in found:
        made.add_row(
            each.attribute,
            f"{each.texts:,}",
            f"{each.correlation:.3f}",
            f"{each.difference:+.3f}",
            *(f"{each.agreeing(threshold):.1%}" for threshold in (0.7, 0.8, 0.9)),
        )
    show(made)
    for reason, count in refusals.items():
        hint(f"{count} texts were refused: {reason}")
    hint(f"the report is {output}")


def _read(file: Path) -> "list[Message]":
    from chat_moderator.cli import reading  # noqa: PLC0415

    parse = reading.jsonl if file.suffix == ".jsonl" else reading.plain
    with file.open("rb") as stream:
        return [message for batch in reading.batches(stream, parse) for message in batch if message.text.strip()]


def _scored(
    messages: "Sequence[Message]",
    names: Sequence[str],
    settings: "Settings",
    asked: Asked,
) -> "tuple[Pairs, dict[str, int]]":
    """Our scores beside theirs by attribute, and how often which refusal came."""
    from chat_moderator.app import build_cascade  # noqa: PLC0415
    from chat_moderator.classifiers.perspective_scale import Scales  # noqa: PLC0415
    from chat_moderator.cli.perspective_client import ask_all  # noqa: PLC0415
    from chat_moderator.gateway.perspective import ATTRIBUTES as LABELS  # noqa: PLC0415

    if unknown := [name for name in names if name not in LABELS]:
        raise ConfigError("--attributes", f"there is no {unknown[0]} here; there are {', '.join(LABELS)}")
    texts = [message.text for message in messages]
    theirs, refusals = ask_all(texts, names, **asked)
    cascade = build_cascade(settings)
    assessments = [
        each for start in range(0, len(texts), CHUNK) for each in cascade.assess(texts[start : start + CHUNK])
    ]
    scales = Scales(cascade.version)
    pairs: Pairs = {}
    for name in names:
        ours = scales.values(LABELS[name], scales.latest, texts, assessments)
        both = [(own, other[name]) for own, other in zip(ours, theirs, strict=True) if name in other]
        if both:
            pairs[name] = both
    return pairs, refusals
