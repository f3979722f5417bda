"""How much waits in Pub/Sub: its own interface does not tell, Cloud Monitoring does, some minutes late."""

import asyncio
import logging
import time
from datetime import datetime, timedelta
from typing import Any, Final

import google.auth
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from requests import RequestException

from chat_moderator.types import Depth, now

SCOPE: Final = "https://www.googleapis.com/auth/monitoring.read"
EVERY: Final = 30.0
"""Seconds that an answer is believed; the service measures once a minute."""

WINDOW: Final = timedelta(minutes=10)
"""How far back is looked for the latest measurement, which may be four minutes old."""

TIMEOUT: Final = 5.0
WAITING: Final = "num_undelivered_messages"
OLDEST: Final = "oldest_unacked_message_age"
UNTOLD: Final = Depth(
    waiting=0,
    leased=0,
    delayed=0,
    dead=0,
    oldest=timedelta(),
    untold=("waiting", "leased", "delayed", "dead", "oldest"),
)

log = logging.getLogger(__name__)


class MonitoredDepth:
    """The depth of three subscriptions, NAME, NAME-retries and NAME-dead, asked for at most every half a minute.

    Args:
        url: of Cloud Monitoring; credentials are the environment's, and none go to an address without TLS.
        project: of the subscriptions.
        name: of the first of them.
    """

    def __init__(self, url: str, project: str, name: str) -> None:
        self._url = f"{url.rstrip('/')}/v3/projects/{project}/timeSeries"
        self._name = name
        self._session: AuthorizedSession | None = None
        self._asking = asyncio.Lock()
        self._until = 0.0
        self._latest = UNTOLD

    async def depth(self) -> Depth:
        """In envelopes; `waiting` counts those that are leased too. Untold where Cloud Monitoring does not answer."""
        async with self._asking:
            if time.monotonic() >= self._until:
                self._latest = await asyncio.to_thread(self._ask)
                self._until = time.monotonic() + EVERY
            return self._latest

    def _ask(self) -> Depth:
        try:
            if self._session is None:
                self._session = AuthorizedSession(_credentials(self._url))  # type: ignore[no-untyped-call]
            waiting, delayed, dead = (self._value(WAITING, kind) for kind in ("", "-retries", "-dead"))
            oldest = self._value(OLDEST, "")
        except (RequestException, GoogleAuthError, ValueError, LookupError) as problem:
            log.warning("Cloud Monitoring does not tell how much waits in Pub/Sub: %s", problem)
            return UNTOLD
        told = {"waiting": waiting, "delayed": delayed, "dead": dead, "oldest": oldest}
        missing = tuple(name for name, value in told.items() if value is None)
        return Depth(
            waiting=waiting or 0,
            leased=0,
            delayed=delayed or 0,
            dead=dead or 0,
            oldest=timedelta(seconds=oldest or 0),
            untold=(*missing, "leased"),
        )

    def _value(self, metric: str, kind: str) -> int | None:
        """The latest measurement; None where there is none yet, as of a new subscription."""
        at = now()
        labels = f'resource.labels.subscription_id = "{self._name}{kind}"'
        asked = {
            "filter": f'metric.type = "pubsub.googleapis.com/subscription/{metric}" AND {labels}',
            "interval.startTime": _moment(at - WINDOW),
            "interval.endTime": _moment(at),
        }
        assert self._session is not None  # noqa: S101 -- `_ask` made it
        answer = self._session.get(self._url, params=asked, timeout=TIMEOUT)
        answer.raise_for_status()
        series: list[dict[str, Any]] = answer.json().get("timeSeries", [])
        points = series[0].get("points", []) if series else []
        return int(points[0]["value"]["int64Value"]) if points else None  # the newest stands first


def _credentials(url: str) -> Any:
    if not url.startswith("https://"):
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    credentials, _ = google.auth.default(scopes=[SCOPE])
    return credentials


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
