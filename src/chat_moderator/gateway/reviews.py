"""What is held for a human: `/v1/reviews`."""

from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from litestar import Request, post
from litestar.types import ASGIApp

from chat_moderator.gateway import examples
from chat_moderator.gateway.contract import OPT, Contract, readable
from chat_moderator.gateway.limits import LARGEST, Number, PageSize
from chat_moderator.gateway.problems import ProblemError
from chat_moderator.gateway.services import caller_of, services_of
from chat_moderator.gateway.wire import Result, result_of
from chat_moderator.store.reviews import ListReviews, ResolveReview, Review, ReviewState
from chat_moderator.types import Author, Role, Struct


class Resolution(StrEnum):
    """What a moderator says of a held message."""

    APPROVE = "approve"
    DENY = "deny"


class ReviewBody(Struct, frozen=True):
    """A moderator's word."""

    verdict: Resolution


class ReviewsQuery(Struct, frozen=True):
    """`after`: the last `next`."""

    state: ReviewState = ReviewState.OPEN
    after: Number = 0
    limit: PageSize = 100


class HeldMessage(Struct, omit_defaults=True, frozen=True):
    """A held message; `id` is its place in the decision feed, `reviewer` the key of who resolved it."""

    id: int
    state: ReviewState
    text: str
    author: Author
    result: Result
    reviewer: str = ""
    at: datetime | None = None


class HeldMessages(Struct, frozen=True):
    """Held messages, oldest first; `next` is the `after` of the next page."""

    reviews: list[HeldMessage]
    next: int


LIST: Final[Contract[Any, ReviewsQuery]] = Contract(
    summary="List held messages.",
    needs=Role.MODERATOR,
    query=ReviewsQuery,
    answer=HeldMessages,
    answered={"reviews": [examples.REVIEW], "next": 7},
    tag="reviews",
)
READ: Final[Contract[Any, Any]] = Contract(
    summary="Read one held message.",
    needs=Role.MODERATOR,
    answer=HeldMessage,
    answered=examples.REVIEW,
    problems=(HTTPStatus.NOT_FOUND,),
    tag="reviews",
)
RESOLVE: Final[Contract[ReviewBody, Any]] = Contract(
    summary="Approve or deny a held message.",
    detail="Saying the same again changes nothing; the opposite of what was said before is a conflict.",
    needs=Role.MODERATOR,
    body=ReviewBody,
    answer=HeldMessage,
    example={"verdict": "approve"},
    answered=examples.REVIEW | {"state": "approved", "reviewer": "3fa9c2e1b05d", "at": "2026-02-01T18:40:00Z"},
    problems=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    tag="reviews",
)


@readable("/v1/reviews", LIST)
async def list_reviews(request: Request[Any, Any, Any]) -> ASGIApp:
    """Lists reviews."""
    query = LIST.ask(request.query_params)
    store = services_of(request).app.store
    reviews = await store.ask(ListReviews(state=query.state, after=query.after, limit=query.limit))
    last = reviews[-1].id if reviews else query.after
    return LIST.reply(HeldMessages([_held(review) for review in reviews], last))


@readable("/v1/reviews/{review:str}", READ)
async def read_review(request: Request[Any, Any, Any]) -> ASGIApp:
    """Reads a review."""
    identifier = _identifier(request)
    for state in ReviewState:
        found = await services_of(request).app.store.ask(ListReviews(state=state, after=identifier - 1, limit=1))
        if found and found[0].id == identifier:
            return READ.reply(_held(found[0]))
    raise _unknown()


@post("/v1/reviews/{review:str}", opt={OPT: RESOLVE})
async def resolve_review(request: Request[Any, Any, Any]) -> ASGIApp:
    """Resolves a review."""
    identifier = _identifier(request)
    body = await RESOLVE.read(request)
    state = ReviewState.APPROVED if body.verdict is Resolution.APPROVE else ReviewState.DENIED
    command = ResolveReview(id=identifier, state=state, reviewer=caller_of(request).id)
    return RESOLVE.reply(_held(await services_of(request).app.store.execute(command)))


def _identifier(request: Request[Any, Any, Any]) -> int:
    text: str = request.path_params["review"]
    if not (text.isascii() and text.isdigit() and len(text) < len(str(LARGEST)) and int(text)):
        raise _unknown()
    return int(text)


def _unknown() -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, "There is no such review.")


def _held(review: Review) -> HeldMessage:
    record = review.record
    return HeldMessage(
        review.id,
        review.state,
        record.message.text,
        record.message.author,
        result_of(record),
        review.reviewer,
        review.at,
    )
