"""Standard Webhooks, as `POST /webhooks/generic` takes them."""

import base64
import hashlib
import hmac
import json
from datetime import datetime
from typing import Any, Final

SECRET: Final = base64.b64encode(b"a secret of the tests").decode()
FOREIGN: Final = base64.b64encode(b"another one of the tests").decode()


class StandardDeliveries:
    """Implements `testing.webhooks.WebhookCase`: a delivery of one message."""

    signature, time, signs = "webhook-signature", "webhook-timestamp", True
    settings: dict[str, Any] = {"secrets": (f"whsec_{SECRET}",)}

    def call(self) -> bytes:
        return json.dumps({"messages": [{"id": "1", "text": "so bad"}]}).encode()

    def headers(self, body: bytes, at: datetime, *, foreign: bool = False) -> dict[str, str]:
        timestamp, key = str(int(at.timestamp())), base64.b64decode(FOREIGN if foreign else SECRET)
        digest = hmac.digest(key, b"msg_1." + timestamp.encode() + b"." + body, hashlib.sha256)
        about = {"content-type": "application/json", "webhook-id": "msg_1", self.time: timestamp}
        return about | {self.signature: f"v1,{base64.b64encode(digest).decode()}"}
