"""Signed webhooks in: `POST /webhooks/generic` by the Standard Webhooks specification 1.0.

The signature is over the raw bytes and checked before anything of them is read.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

from litestar import Request, post
from litestar.types import ASGIApp

from chat_moderator.config import WebhookSettings
from chat_moderator.errors import ConfigError
from chat_moderator.gateway import examples, limits
from chat_moderator.gateway.bodies import decode, read_body
from chat_moderator.gateway.contract import OPT, Contract
from chat_moderator.gateway.messages import Accepted
from chat_moderator.gateway.problems import Problem
from chat_moderator.gateway.services import services_of
from chat_moderator.gateway.wire import MessagesBody, messages_of
from chat_moderator.queues.embedded import EmbeddedQueue

CLIENT: Final = "webhook"
_SHORTEST: Final = 16
_LONGEST_ID: Final = 256

GENERIC: Final[Contract[MessagesBody, Any]] = Contract(
    summary="Take in messages by a signed webhook.",
    detail=(
        "Standard Webhooks: `webhook-id`, `webhook-timestamp` (Unix seconds, five minutes either way) and "
        "`webhook-signature` (`v1,` and base64, several during a rotation). A delivery that comes again is answered "
        "202 and taken once."
    ),
    needs=None,
    body=MessagesBody,
    limit=limits.BATCH_BODY,
    answer=Accepted,
    status=HTTPStatus.ACCEPTED,
    problems=(
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    example=examples.MESSAGES,
    answered={"accepted": 1, "duplicates": 0},
    tag="webhooks",
)


class Verifier:
    """Tells deliveries that a holder of one of the secrets signed from all others.

    Args:
        clock: Unix seconds.

    Raises:
        ConfigError: a secret is not one.
    """

    def __init__(self, settings: WebhookSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._secrets = [_secret(text, f"webhooks.secrets[{i}]") for i, text in enumerate(settings.secrets)]
        self._tolerance = settings.tolerance
        self._clock = clock

    def verify(self, headers: dict[bytes, bytes], body: bytes) -> str:
        """The id of the delivery.

        Raises:
            Problem: 401, or 404 where the operator has set no secret.
        """
        if not self._secrets:
            raise Problem(HTTPStatus.NOT_FOUND, "Incoming webhooks are off: webhooks.secrets of the configuration is empty.")
        identifier = headers.get(b"webhook-id", b"")
        timestamp = headers.get(b"webhook-timestamp", b"")
        given = headers.get(b"webhook-signature", b"").split(b" ")
        if not (0 < len(identifier) <= _LONGEST_ID and identifier.isascii()):
            raise _refused("webhook-id is missing or not 1 to 256 characters of ASCII.")
        if not (timestamp.isdigit() and len(timestamp) <= 12):  # noqa: PLR2004 -- far beyond any clock
            raise _refused("webhook-timestamp is missing or not Unix seconds.")
        if not self._signed(b"%b.%b.%b" % (identifier, timestamp, body), given):
            raise _refused("No webhook-signature fits the body.")
        if abs(self._clock() - int(timestamp)) > self._tolerance:
            raise _refused(f"webhook-timestamp is more than {self._tolerance} seconds off.")
        return identifier.decode("ascii")

    def _signed(self, content: bytes, given: Sequence[bytes]) -> bool:
        expected = [b"v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)) for key in self._secrets]
        found = False
        for signature in given[:16]:
            for each in expected:
                found |= hmac.compare_digest(signature, each)
        return found


@post("/webhooks/generic", opt={OPT: GENERIC})
async def receive(request: Request[Any, Any, Any]) -> ASGIApp:
    """Takes in a delivery, once."""
    services = services_of(request)
    raw = await read_body(request.scope, request.receive, GENERIC.limit)
    delivery = services.webhooks.verify(dict(request.scope["headers"]), raw)
    messages = messages_of(decode(GENERIC.decoder, raw).messages, CLIENT)
    queue = services.app.queue
    if isinstance(queue, EmbeddedQueue):
        new = await queue.put(messages, delivery=delivery)
    else:  # other queues know the messages again, not the delivery
        new = await queue.put(messages)
    return GENERIC.reply(Accepted(new, len(messages) - new))


def _refused(detail: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"www-authenticate": "StandardWebhooks"})


def _secret(text: str, path: str) -> bytes:
    """The key in a secret: `whsec_` and base64."""
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error as problem:
        raise ConfigError(path, "a Standard Webhooks secret is needed: whsec_ and base64") from problem
    if len(key) < _SHORTEST:
        raise ConfigError(path, f"a secret of at least {_SHORTEST} bytes is needed")
    return key
