"""`parity`: how far a transformers model in int8 is from the same in float32, in scores and in verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chat_moderator.cli.options import ConfigOption, read_settings
from chat_moderator.cli.output import show, table
from chat_moderator.errors import ConfigError

if TYPE_CHECKING:
    from chat_moderator.types import Message


def parity(
    data: Annotated[
        Path, typer.Option("--data", metavar="FILE", help="Texts, one a line; in a .jsonl, messages as JSON objects.")
    ],
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            show_default=False,
            help="On the Hugging Face hub, or a folder. Without it, classifiers.transformers.model of the settings.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Compare a transformers model in int8 with itself in float32.

    Prints, by label, the largest and the mean difference of scores, and the share of texts that the policy of the
    settings decides otherwise. Both are converted, on the processor, where they are not yet.
    """
    import numpy as np  # noqa: PLC0415 -- every command would pay for it

    from chat_moderator import registry  # noqa: PLC0415
    from chat_moderator.app import build_policy  # noqa: PLC0415
    from chat_moderator.types import Assessment, now  # noqa: PLC0415

    settings = read_settings(config)
    policy = build_policy(settings)
    messages = _messages(data)
    texts = [message.text for message in messages]
    own: dict[str, Any] = dict(settings.classifiers.get("transformers", {}))
    if model is not None:
        own["model"] = model
    found: list[Any] = []
    labels: tuple[str, ...] = ()
    for precision in ("float32", "int8"):
        table_ = own | {"precision": precision, "device": "cpu"}
        kind, chosen = registry.configure("classifier", "transformers", table_, path="classifiers.transformers")
        classifier = kind(chosen)
        found.append(classifier.score(texts))
        labels = classifier.labels
    difference = np.abs(found[0] - found[1])
    verdicts = []
    for scores in found:
        rows = [Assessment(dict(zip(labels, row, strict=True)), "transformers", "") for row in scores.tolist()]
        verdicts.append([decision.verdict for decision in policy.decide(messages, rows, at=now())])
    other = sum(first is not second for first, second in zip(*verdicts, strict=True))
    made = table("label", "largest difference", "mean difference")
    for label, column in zip(labels, difference.T, strict=True):
        made.add_row(label, f"{column.max():.4f}", f"{column.mean():.5f}")
    show(made)
    show(f"{other} of {len(texts)} verdicts differ ({100 * other / len(texts):.2f}%)")


def _messages(data: Path) -> "list[Message]":
    from chat_moderator.cli import reading  # noqa: PLC0415

    with data.open("rb") as file:
        parse = reading.jsonl if data.suffix == ".jsonl" else reading.plain
        messages = [message for batch in reading.batches(file, parse) for message in batch]
    if not messages:
        raise ConfigError("--data", f"{data} holds no text")
    return messages
