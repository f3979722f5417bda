"""`reviews`: what is held for a human."""

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from chat_moderator.cli.options import DATA, ConfigOption, DataOption, JsonOption
from chat_moderator.cli.output import hint, moment, show, shown, table, write_lines
from chat_moderator.errors import ConfigError
from chat_moderator.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    from chat_moderator.store.reviews import ReviewState

app = typer.Typer(help="Held messages: list, approve, deny.", no_args_is_help=True)

Id = Annotated[int, typer.Argument(metavar="ID", help="As the list shows it.")]


@app.command("list")
def list_all(  # noqa: PLR0917 -- options
    data_dir: DataOption = DATA,
    state: Annotated[str, typer.Option(metavar="open|approved|denied", help="Which reviews.")] = "open",
    after: Annotated[int, typer.Option(min=0, metavar="ID", help="Only those after this id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="At most so many.")] = 100,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show reviews, oldest first."""
    from chat_moderator.cli.stores import shared_by, use_store  # noqa: PLC0415
    from chat_moderator.store.reviews import ListReviews, ReviewState  # noqa: PLC0415

    try:
        wanted = ReviewState(state)
    except ValueError as problem:
        raise ConfigError("--state", f"{state!r} is none of {', '.join(ReviewState)}") from problem
    query = ListReviews(state=wanted, after=after, limit=limit)
    reviews = use_store(data_dir, lambda store: store.ask(query), shared=shared_by(config))
    if json:
        write_lines(reviews)
        return
    made = table("id", "held (UTC)", "channel", "author", "rule", "score", "text")
    for review in reviews:
        message, decision = review.record.message, review.record.decision
        made.add_row(
            str(review.id),
            moment(review.record.decided_at),
            printable(message.channel),
            printable(message.author.name or message.author.id),
            printable(decision.rule),
            f"{decision.score:.2f}",
            shown(message.text, decision.assessment.spans, limit=200),
        )
    show(made if reviews else f"there are no {state} reviews")
    if len(reviews) == limit:
        hint(f"there may be more: --after {reviews[-1].id}")


@app.command()
def approve(review_id: Id, data_dir: DataOption = DATA, config: ConfigOption = None) -> None:
    """Let a held message through."""
    from chat_moderator.store.reviews import ReviewState  # noqa: PLC0415

    _resolve(data_dir, config, review_id, ReviewState.APPROVED)


@app.command()
def deny(review_id: Id, data_dir: DataOption = DATA, config: ConfigOption = None) -> None:
    """Keep a held message out."""
    from chat_moderator.store.reviews import ReviewState  # noqa: PLC0415

    _resolve(data_dir, config, review_id, ReviewState.DENIED)


def _resolve(directory: "Path", config: "Path | None", review_id: int, state: "ReviewState") -> None:
    from chat_moderator.cli.stores import shared_by, use_store  # noqa: PLC0415
    from chat_moderator.store.reviews import ResolveReview  # noqa: PLC0415

    command = ResolveReview(id=review_id, state=state, reviewer=_reviewer())
    review = use_store(directory, lambda store: store.execute(command), shared=shared_by(config))
    typer.echo(f"review {review.id} is {review.state.value}")


def _reviewer() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"
