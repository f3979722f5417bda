"""Standard Webhooks, as `POST /webhooks/generic` takes them."""

import json
from datetime import datetime
from typing import Any, Final

from standardwebhooks import Webhook

SECRET: Final = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="
FOREIGN: Final = "whsec_YW5vdGhlci1zZWNyZXQtb2YtdGVzdHM="


class StandardDeliveries:
    """Implements `testing.webhooks.WebhookCase`: a delivery of one message."""

    signature, time, signs = "webhook-signature", "webhook-timestamp", True
    settings: dict[str, Any] = {"secrets": (SECRET,)}

    def call(self) -> bytes:
        return json.dumps({"messages": [{"id": "1", "text": "so bad"}]}).encode()

    def headers(self, body: bytes, at: datetime, *, foreign: bool = False) -> dict[str, str]:
        signed = Webhook(FOREIGN if foreign else SECRET).sign("msg_1", at, body.decode("latin-1"))
        about = {"content-type": "application/json", "webhook-id": "msg_1"}
        return about | {self.time: str(int(at.timestamp())), self.signature: signed}
