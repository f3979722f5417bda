"""Signatures of the Standard Webhooks specification 1.0, over the raw bytes of a body."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

from chat_moderator.config import WebhookSettings
from chat_moderator.errors import ConfigError
from chat_moderator.gateway.problems import ProblemError

_SHORTEST: Final = 16
_LONGEST_ID: Final = 256
_SIGNATURES: Final = 16


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

    def require_secrets(self) -> None:
        """Refuses to go on where the operator has set no secret.

        Raises:
            ProblemError: 404.
        """
        if not self._secrets:
            raise ProblemError(
                HTTPStatus.NOT_FOUND, "Incoming webhooks are off: webhooks.secrets of the configuration is empty."
            )

    def verify(self, headers: dict[bytes, bytes], body: bytes) -> str:
        """The id of the delivery.

        Raises:
            ProblemError: 401.
        """
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
        for signature in given[:_SIGNATURES]:
            for each in expected:
                found |= hmac.compare_digest(signature, each)
        return found


def _refused(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNAUTHORIZED, detail, headers={"www-authenticate": "StandardWebhooks"})


def _secret(text: str, path: str) -> bytes:
    """The key in a secret: `whsec_` and base64."""
    try:
        encoded = text.removeprefix("whsec_")
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError as problem:
        raise ConfigError(path, "a Standard Webhooks secret is needed: whsec_ and base64") from problem
    if len(key) < _SHORTEST:
        raise ConfigError(path, f"a secret of at least {_SHORTEST} bytes is needed")
    return key
