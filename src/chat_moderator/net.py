"""Outgoing webhooks: signed by the Standard Webhooks specification, sent without following redirects."""

import base64
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
from standardwebhooks import Webhook

from chat_moderator.errors import ConfigError, PermanentError, TransientError
from chat_moderator.types import now

TIMEOUT: Final = httpx.Timeout(10.0)
SHORTEST_KEY: Final = 16


class SignedPoster:
    """Posts JSON to one URL of the operator's own configuration.

    Args:
        url: http or https.
        secret: of Standard Webhooks (`whsec_` and base64); unsigned where empty.
        path: where the URL stands in the configuration, for the error.

    Raises:
        ConfigError: the URL or the secret cannot be used.
    """

    def __init__(self, url: str, secret: str, *, path: str) -> None:
        if not url.startswith(("https://", "http://")):
            raise ConfigError(f"{path}.url", "an address that starts with https:// or http:// is needed")
        self._url = url
        self._signer = signer_of(secret, path=f"{path}.secret") if secret else None
        self._client = httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False)

    async def post(self, body: bytes, *, delivery: str = "") -> None:
        """Posts; the receiver may drop a `delivery` id that it has seen.

        Raises:
            TransientError: 408, 425, 429, 5xx or no answer.
            PermanentError: any other answer but 2xx.
        """
        headers = {"content-type": "application/json"}
        if self._signer is not None:
            identifier, at = delivery or f"msg_{uuid.uuid4().hex}", now()
            headers |= {
                "webhook-id": identifier,
                "webhook-timestamp": str(int(at.timestamp())),
                "webhook-signature": self._signer.sign(identifier, at, body.decode()),
            }
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as problem:
            raise TransientError(f"{type(problem).__name__} when posting") from problem
        if answer.is_success:
            return
        if answer.status_code in {408, 425, 429} or answer.status_code >= 500:  # noqa: PLR2004 -- HTTP's own classes
            raise TransientError(f"the receiver answered {answer.status_code}", retry_after=retry_after(answer))
        raise PermanentError(f"the receiver answered {answer.status_code}")

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


def signer_of(secret: str, *, path: str) -> Webhook:
    """What signs and checks with a Standard Webhooks secret.

    Raises:
        ConfigError: it is not `whsec_` and the base64 of at least 16 bytes; `path` says where it stands.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if len(key) < SHORTEST_KEY:
        raise ConfigError(
            path, f"a Standard Webhooks secret is needed: whsec_ and base64 of {SHORTEST_KEY} bytes or more"
        )
    return Webhook(secret)


def retry_after(answer: httpx.Response) -> timedelta | None:
    """How long an answer asks to wait, in seconds or until a date; None where it does not say."""
    value = answer.headers.get("retry-after", "")
    try:
        return timedelta(seconds=max(0.0, float(value)))
    except ValueError:
        pass
    try:
        return max(timedelta(), parsedate_to_datetime(value) - datetime.now(UTC))
    except (ValueError, TypeError):
        return None
