"""Forgets an author: `POST /v1/erase`."""

from typing import Any, Final

from litestar import Request, post
from litestar.types import ASGIApp

from chat_moderator.gateway.contract import OPT, Contract
from chat_moderator.gateway.limits import Identifier
from chat_moderator.gateway.services import services_of
from chat_moderator.types import Role, Struct


class EraseBody(Struct, frozen=True):
    """Whose texts and names go; on one platform, or on all."""

    author_id: Identifier
    platform: Identifier | None = None


class Erased(Struct, frozen=True):
    """How many rows were emptied."""

    erased: int


ERASE: Final[Contract[EraseBody, Any]] = Contract(
    summary="Remove text and name of an author from every table and file.",
    detail="The decisions stay, without what was said and by whom. The file is rewritten, which may take a while.",
    needs=Role.ADMIN,
    body=EraseBody,
    answer=Erased,
    example={"author_id": "u-17", "platform": "my-game"},
    answered={"erased": 12},
    tag="erasure",
)


@post("/v1/erase", opt={OPT: ERASE})
async def erase(request: Request[Any, Any, Any]) -> ASGIApp:
    """Forgets an author."""
    body = await ERASE.read(request)
    return ERASE.reply(Erased(await services_of(request).app.erase(body.author_id, body.platform)))
