"""Sends decisions to a URL, in batches, at least once, in order."""

from collections.abc import Sequence

import msgspec

from chat_moderator.errors import PermanentError, TransientError
from chat_moderator.net import SignedPoster
from chat_moderator.types import Record, Struct, Verdict


class Config(Struct, frozen=True):
    """`client`: only its records, all where empty; `flagged_only`: leave out what was allowed."""

    url: str
    secret: str = ""
    client: str = ""
    flagged_only: bool = False


class WebhookSink:
    """Posts `{"type": "decisions", "records": […]}`; the delivery id repeats when a batch does."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._poster = SignedPoster(config.url, config.secret, path="sinks")

    async def write(self, records: Sequence[Record]) -> None:
        """See `Sink.write`. A receiver that refuses for good is asked again, later: decisions are not dropped."""
        chosen = [record for record in records if self._wants(record)]
        if not chosen:
            return
        body = msgspec.json.encode({"type": "decisions", "records": chosen})
        # Where no store gave them places, as in a function without an audit, each delivery is its own.
        delivery = f"decisions_{chosen[0].seq}_{chosen[-1].seq}" if chosen[0].seq else ""
        try:
            await self._poster.post(body, delivery=delivery)
        except PermanentError as problem:
            raise TransientError(str(problem)) from problem

    async def erase(self, author_id: str, *, platform: str | None = None) -> None:
        """Nothing is kept here."""

    async def aclose(self) -> None:
        """See `Sink.aclose`."""
        await self._poster.aclose()

    def _wants(self, record: Record) -> bool:
        if self._config.client and record.message.client != self._config.client:
            return False
        return not self._config.flagged_only or record.decision.verdict is not Verdict.ALLOW
