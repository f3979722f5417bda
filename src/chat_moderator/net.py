"""Outgoing webhooks: signed by the Standard Webhooks specification, sent without following redirects."""

import uuid
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
from standardwebhooks import Webhook

from chat_moderator.errors import ConfigError, PermanentError, TransientError
from chat_moderator.types import now

TIMEOUT: Final = httpx.Timeout(10.0)


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
        try:
            self._signer = Webhook(secret) if secret else None
        except Exception as problem:
            raise ConfigError(f"{path}.secret", "a Standard Webhooks secret is needed: whsec_ and base64") from problem
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
            raise TransientError(f"the receiver answered {answer.status_code}", retry_after=_retry_after(answer))
        raise PermanentError(f"the receiver answered {answer.status_code}")

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


def _retry_after(answer: httpx.Response) -> timedelta | None:
    value = answer.headers.get("retry-after", "")
    try:
        return timedelta(seconds=max(0.0, float(value)))
    except ValueError:
        pass
    try:
        return max(timedelta(), parsedate_to_datetime(value) - datetime.now(UTC))
    except (ValueError, TypeError):
        return None
