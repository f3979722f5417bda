"""API keys: `/v1/keys`."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from litestar import Request, delete, post
from litestar.types import ASGIApp
from msgspec import Meta

from chat_moderator.gateway import examples
from chat_moderator.gateway.contract import OPT, Contract, Reply, readable
from chat_moderator.gateway.services import services_of
from chat_moderator.store.keys import CreateKey, Key, KeyLimits, ListKeys, NewKey, RevokeKey
from chat_moderator.types import Role, Struct


class KeyBody(Struct, frozen=True):
    """What a new key is called, may do and may use."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    role: Role
    limits: KeyLimits = KeyLimits()


class Keys(Struct, frozen=True):
    """All keys, the revoked ones too, oldest first."""

    keys: list[Key]


LIST: Final[Contract[Any, Any]] = Contract(
    summary="List keys.", needs=Role.ADMIN, answer=Keys, answered={"keys": [examples.KEY]}, tag="keys"
)
CREATE: Final[Contract[KeyBody, Any]] = Contract(
    summary="Make a key.",
    detail="The answer holds the token, this once: only a hash of it is kept.",
    needs=Role.ADMIN,
    body=KeyBody,
    answer=NewKey,
    status=HTTPStatus.CREATED,
    problems=(HTTPStatus.SERVICE_UNAVAILABLE,),
    example={"name": "game server", "role": "client"},
    answered={"key": examples.KEY, "token": "cm_3fa9c2e1b05d_…"},
    tag="keys",
)
REVOKE: Final[Contract[Any, Any]] = Contract(
    summary="Revoke a key.",
    detail="It ends at once for requests; an open WebSocket ends with its next frame.",
    needs=Role.ADMIN,
    status=HTTPStatus.NO_CONTENT,
    problems=(HTTPStatus.NOT_FOUND,),
    tag="keys",
)


@readable("/v1/keys", LIST)
async def list_keys(request: Request[Any, Any, Any]) -> ASGIApp:
    """Lists keys."""
    return LIST.reply(Keys(await services_of(request).app.store.ask(ListKeys())))


@post("/v1/keys", opt={OPT: CREATE})
async def create_key(request: Request[Any, Any, Any]) -> ASGIApp:
    """Makes a key."""
    body = await CREATE.read(request)
    services = services_of(request)
    made = await services.app.store.execute(CreateKey(name=body.name, role=body.role, limits=body.limits))
    services.keys.forget()
    return CREATE.reply(made)


@delete("/v1/keys/{key:str}", opt={OPT: REVOKE}, status_code=HTTPStatus.OK)
async def revoke_key(request: Request[Any, Any, Any]) -> ASGIApp:
    """Revokes a key."""
    services = services_of(request)
    await services.app.store.execute(RevokeKey(id=request.path_params["key"]))
    services.keys.forget()
    return Reply(status=REVOKE.status)
