"""Google Cloud Run: Pub/Sub push with OIDC tokens, and plain HTTP: `python -m chat_moderator.functions.cloud_run`."""

import asyncio
import base64
import logging
import os
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec
import uvicorn

from chat_moderator import log as logs
from chat_moderator.errors import ChatModeratorError, MissingExtraError, PermanentError, RefusedError, TransientError
from chat_moderator.functions.function import Delivered, Function, admits, configure, delivered, read_settings
from chat_moderator.gateway.limits import BATCH_BODY
from chat_moderator.types import Struct

try:
    import jwt
except ImportError as problem:
    raise MissingExtraError("function 'cloud_run'", "cloud-run") from problem

PUSH_BODY: Final = 15 * 1024 * 1024
"""Bytes: Pub/Sub's largest message, 10 MB, as base64 inside JSON."""

LEEWAY: Final = 30
GRACE: Final = 8
"""Seconds for requests under way after SIGTERM; the platform kills after ten."""

log = logging.getLogger(__name__)


class Config(Struct, frozen=True):
    """Who may call: Pub/Sub with tokens of `service_account` for `audience`, others with `token` as a bearer.

    `issuers` and `keys` (a URL of a JSON Web Key Set) are those of whoever signs the tokens. What is empty admits
    nobody.
    """

    token: str = ""
    audience: str = ""
    service_account: str = ""
    issuers: tuple[str, ...] = ("https://accounts.google.com", "accounts.google.com")
    keys: str = "https://www.googleapis.com/oauth2/v3/certs"


class _PushMessage(msgspec.Struct, frozen=True, rename="camel"):
    """What is needed of Pub/Sub's message; it has more."""

    message_id: str
    publish_time: datetime
    data: str = ""


class _Push(msgspec.Struct, frozen=True, rename="camel"):
    message: _PushMessage
    delivery_attempt: int = 1


class PushVerifier:
    """Checks the OIDC token of a push (OpenID Connect Core 1.0, 3.1.3.7)."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._keys = jwt.PyJWKClient(config.keys, lifespan=3600, timeout=5)

    async def check(self, authorization: str) -> None:
        """Returns when Pub/Sub made this call in the name of the configured service account.

        Raises:
            RefusedError: somebody else did, or the token is too old.
            TransientError: the signer's keys cannot be fetched now.
        """
        config = self._config
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not (config.audience and config.service_account):
            raise RefusedError("a token for a configured audience and service account is needed")
        try:
            key = await asyncio.to_thread(self._keys.get_signing_key_from_jwt, token)
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=config.audience,
                issuer=list(config.issuers),
                leeway=LEEWAY,
                options={"require": ["aud", "exp", "iat", "iss"]},
            )
        except jwt.PyJWKClientConnectionError as problem:
            raise TransientError("the keys of the token's issuer cannot be fetched") from problem
        except jwt.PyJWTError as problem:
            raise RefusedError(f"the token is refused: {problem}") from problem
        if claims.get("email") != config.service_account or claims.get("email_verified") is not True:
            raise RefusedError("the token is of another account")


class CloudRunFunction:
    """The ASGI application: `POST /run` answers, `POST /pubsub` takes pushes, `GET /healthz` says that it runs.

    Raises:
        ConfigError: the settings are wrong.
    """

    def __init__(self, function: Function, config: Config) -> None:
        self._function = function
        self._token = config.token
        self._verifier = PushVerifier(config)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handles one request."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        authorization = headers.get("authorization", "")
        match scope["method"], scope["path"]:
            case "POST", "/run":
                status, body = await self._run(authorization, receive)
            case "POST", "/pubsub":
                status, body = await self._pushed(authorization, receive)
            case "GET", "/healthz":
                status, body = HTTPStatus.OK, b'{"status":"ok"}'
            case _:
                status, body = _said(HTTPStatus.NOT_FOUND, "There are POST /run, POST /pubsub and GET /healthz here.")
        own = [(b"content-type", b"application/json")] if body else []
        sized = [] if status == HTTPStatus.NO_CONTENT else [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": int(status), "headers": own + sized})
        await send({"type": "http.response.body", "body": body})

    async def _run(self, authorization: str, receive: Any) -> tuple[int, bytes]:
        if not admits(self._token, authorization):
            return _said(HTTPStatus.UNAUTHORIZED, "A bearer token is needed.")
        raw = await _read(receive, BATCH_BODY)
        return await self._function.respond(raw)

    async def _pushed(self, authorization: str, receive: Any) -> tuple[int, bytes]:
        """2xx acknowledges; after anything else Pub/Sub sends again, and at last to the dead-letter topic."""
        try:
            await self._verifier.check(authorization)
            self._function.require_keeping()
            await self._function.take([_opened(await _read(receive, PUSH_BODY))])
        except RefusedError as problem:
            log.warning("a push was refused: %s", problem)
            return _said(HTTPStatus.UNAUTHORIZED, "The push is not signed as configured.")
        except PermanentError as problem:
            log.error("a push cannot be read: %s", problem)  # noqa: TRY400
            return _said(HTTPStatus.BAD_REQUEST, f"{problem}.")
        except ChatModeratorError as problem:
            log.error("a push comes again: %s", problem)  # noqa: TRY400
            return _said(HTTPStatus.SERVICE_UNAVAILABLE, "Send it again.")
        except Exception:
            log.exception("a push failed in a way that was not foreseen")
            return _said(HTTPStatus.INTERNAL_SERVER_ERROR, "This is a fault of the moderator; its log says more.")
        return HTTPStatus.NO_CONTENT, b""


def main() -> None:
    """Serves on the port that the platform names, until SIGTERM."""
    settings = read_settings(Path(), os.environ)
    logs.configure("json", settings.log.level)
    app = CloudRunFunction(Function(settings), configure(settings, "cloud_run", Config))
    uvicorn.run(
        app,
        host="0.0.0.0",  # noqa: S104 -- the platform's proxy is the only way in
        port=int(os.environ.get("PORT", "8080")),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )


def _opened(raw: bytes) -> Delivered:
    try:
        push = msgspec.json.decode(raw, type=_Push)
        data = base64.b64decode(push.message.data, validate=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as problem:
        raise PermanentError(f"it is no push of Pub/Sub: {problem}") from problem
    return delivered(data, sent_at=push.message.publish_time, deliveries=push.delivery_attempt)


async def _read(receive: Any, limit: int) -> bytes:
    """The body; of one that is too large a piece that is too large too."""
    parts, size, more = [], 0, True
    while more and size <= limit:
        event = await receive()
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        more = event.get("more_body", False)
    return b"".join(parts)


def _said(status: HTTPStatus, detail: str) -> tuple[int, bytes]:
    return status.value, msgspec.json.encode({"detail": detail})


if __name__ == "__main__":
    main()
