"""Reads the Matrix rooms that an account has joined, by long polling, from where it left off."""

import asyncio
import contextlib
import logging
import zlib
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, Final

import nio

from chat_moderator.errors import ConfigError, PermanentError, TransientError, UnauthorizedError
from chat_moderator.protocols import Intake
from chat_moderator.sources.matrix_alerts import meant, notice, reacted, text_of
from chat_moderator.sources.matrix_client import REFUSED_TOKEN, MatrixClient, MatrixConfig
from chat_moderator.sources.matrix_enforcer import DIRECT, MatrixEnforcer
from chat_moderator.types import Author, Message

Config = MatrixConfig

log = logging.getLogger(__name__)

POLL: Final = 30_000
"""Milliseconds that the homeserver waits for something new."""

PAGE: Final = 100
HISTORY: Final = 1000
"""Messages of a room that are fetched after an interruption."""

KNOWN: Final = 20_000
"""Messages whose senders are remembered."""

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 30.0
BOOKMARK: Final = "sync"
ENCRYPTED: Final = "m.room.encrypted"
READ: Final = (
    "m.room.message",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
    ENCRYPTED,
    "m.reaction",
    "m.room.power_levels",
    "m.room.member",
    "m.room.name",
    "m.room.canonical_alias",
    "m.room.encryption",
)
_WRITTEN: Final = READ[:3]
_FILTER: Final = {
    "presence": {"types": []},
    "account_data": {"types": [DIRECT]},
    "room": {
        "timeline": {"limit": PAGE, "types": list(READ), "lazy_load_members": True},
        "state": {"types": list(READ[5:]), "lazy_load_members": True},
        "ephemeral": {"types": []},
        "account_data": {"types": []},
    },
}
_ROLES: Final = ((50, "moderator"), (100, "admin"))
_LATEST: Final = 4_000_000_000_000
"""Milliseconds; a sender's clock may say anything."""


class Matrix(MatrixEnforcer):
    """Implements `Source` and `Enforcer`.

    An edit's revision is its time in milliseconds times 1,000, and a number made from its id: what Matrix shows is the
    edit with the latest time.

    Raises:
        ConfigError: `homeserver` is no address, `token` is empty, or `moderators_channel` no room's id.
    """

    def __init__(self, config: MatrixConfig) -> None:
        if not config.homeserver.startswith(("http://", "https://")):
            raise ConfigError("homeserver", "an address such as https://matrix.example.org is needed")
        if not config.token:
            raise ConfigError("token", "the access token of the account that moderates is needed")
        if config.moderators_channel and not config.moderators_channel.startswith("!"):
            raise ConfigError(
                "moderators_channel", "the room's internal id is needed, which begins with !: see the room's settings"
            )
        super().__init__(config)

    async def run(self, intake: Intake) -> None:
        """See `Source.run`; timeouts end while this runs."""
        try:
            await self._client.entered()
            ending = asyncio.create_task(self._mutes.run())
            try:
                await _Reading(self._config, self._client, intake, await self._rooms()).read()
            finally:
                ending.cancel()
                await asyncio.gather(ending, return_exceptions=True)
        except UnauthorizedError as problem:
            raise PermanentError(REFUSED_TOKEN) from problem


class _Reading:
    """One run of the source."""

    def __init__(
        self, config: MatrixConfig, client: MatrixClient, intake: Intake, direct: dict[str, list[str]]
    ) -> None:
        self._config = config
        self._client = client
        self._intake = intake
        self._direct = direct
        self._senders: OrderedDict[str, str] = OrderedDict()
        self._rooms: dict[str, nio.MatrixRoom] = {}
        self._own = ""

    async def read(self) -> None:
        """Reads until it is cancelled or the token is refused."""
        library = await self._client.entered()
        self._own, self._rooms = library.user_id, library.rooms
        since = await self._intake.bookmark(BOOKMARK)
        first, up, pause = True, False, FIRST_PAUSE
        while True:
            try:
                answer = await self._client.call(
                    lambda client, since=since, first=first, up=up: client.sync(  # type: ignore[misc]
                        timeout=POLL if up else 0, sync_filter=_FILTER, since=since or None, full_state=first
                    ),
                    "read",
                )
                if since:
                    await self._take(answer, since)
            except TransientError as problem:
                if self._client.refused or first:
                    raise
                up = False
                self._intake.report("connection", f"lost: {problem}; it is tried again")
                await asyncio.sleep(problem.retry_after.total_seconds() if problem.retry_after else pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            if answer.next_batch != since:
                await self._intake.keep(BOOKMARK, answer.next_batch)
            if not up:
                self._intake.report("connection", "")
                self._intake.connected()
            since, first, up, pause = answer.next_batch, False, True, FIRST_PAUSE

    async def _take(self, answer: nio.SyncResponse, since: str) -> None:
        for room in answer.rooms.leave:
            if not self._is_direct(room):
                self._intake.report(
                    f"room {room}", f"the account was removed from the room {room}: invite it again, and let it join"
                )
        for room, news in answer.rooms.join.items():
            if self._is_direct(room):
                continue
            self._intake.report(f"room {room}", "")
            events = [event.source for event in news.timeline.events]
            if news.timeline.limited and since:
                events = [*await self._earlier(room, news.timeline.prev_batch, since), *events]
            messages = [message for event in events if (message := await self._read(room, event)) is not None]
            if messages:
                await self._intake.accept(messages)

    async def _earlier(self, room: str, start: str, since: str) -> list[dict[str, Any]]:
        """What was written in a room between two places, when it was too much for one answer; oldest first."""
        events: list[dict[str, Any]] = []
        place: str | None = start
        try:
            while place and len(events) < HISTORY:
                page = await self._client.call(
                    lambda client, place=place: client.room_messages(  # type: ignore[misc]
                        room, place, since, limit=PAGE, message_filter={"types": list(READ[:5])}
                    ),
                    "read",
                    room,
                )
                events += [event.source for event in page.chunk]
                place = page.end if page.chunk else None
        except PermanentError as problem:
            self._intake.gap(f"the history of room {room} could not be read: {problem}")
            return events[::-1]
        if place:
            self._intake.gap(f"more than {HISTORY} messages came in room {room} meanwhile")
        return events[::-1]

    async def _read(self, room: str, event: dict[str, Any]) -> Message | None:
        """The message that an event is; None where it is none, or passed over."""
        kind, sender, content = event.get("type"), event.get("sender", ""), event.get("content")
        if not isinstance(content, dict) or sender == self._own:
            return None
        if kind == "m.reaction":
            if room == self._config.moderators_channel:
                await self._press(room, event)
            return None
        if kind == ENCRYPTED and not self._config.exempts(channels=self._names(room)):
            self._intake.report(
                f"encryption {room}",
                f"the room {room} is encrypted, which chat-moderator cannot read: let its members use a room without "
                "encryption, or put it into exempt_channels",
            )
        return await self._converted(room, event, content) if kind in _WRITTEN else None

    async def _converted(self, room: str, event: dict[str, Any], content: dict[str, Any]) -> Message | None:
        identifier, sender, sent = str(event["event_id"]), str(event["sender"]), int(event.get("origin_server_ts", 0))
        sent = max(1, min(sent, _LATEST))
        revision, relation = 0, content.get("m.relates_to")
        relation = relation if isinstance(relation, dict) else {}
        original = relation.get("event_id")
        if relation.get("rel_type") == "m.replace" and isinstance(original, str):
            if isinstance(content.get("m.new_content"), dict) and await self._sender(room, original) == sender:
                identifier, content = original, content["m.new_content"]
                revision = sent * 1000 + zlib.crc32(str(event["event_id"]).encode()) % 1000
        else:
            self._remember(identifier, sender)
        text = text_of(str(event["type"]), content)
        if not text:
            return None
        state = self._rooms.get(room)
        level = state.power_levels.get_user_level(sender) if state is not None else 0
        roles = ("member", *(name for least, name in _ROLES if level >= least))
        local = sender[1:].partition(":")
        mine = (local[0],) if local[2] == self._own.partition(":")[2] else ()
        if self._config.exempts(authors=(sender, *mine), channels=self._names(room), roles=roles):
            return None
        answered = relation.get("m.in_reply_to")
        return Message(
            id=identifier,
            text=text,
            platform="matrix",
            community=self._own.partition(":")[2],
            channel=room,
            author=Author(sender, self._name(room, sender), roles),
            sent_at=datetime.fromtimestamp(sent / 1000, UTC),
            revision=revision,
            reply_to=answered.get("event_id") if isinstance(answered, dict) else None,
        )

    async def _press(self, room: str, event: dict[str, Any]) -> None:
        alert, key = reacted(event["content"])
        if not alert:
            return
        with contextlib.suppress(PermanentError):
            found = (await self._client.call(lambda client: client.room_get_event(room, alert), "read", room)).event
            pressed = meant(found.source.get("content", {}), key) if found.sender == self._own else None
            if pressed is None:
                return
            seq, approve = pressed
            moderator = f"{self._name(room, event['sender'])} ({event['sender']})"
            said = await self._intake.resolve(seq, approve=approve, moderator=moderator)
            await self._client.call(
                lambda client: client.room_send(
                    room, "m.room.message", notice(said, reply_to=alert), tx_id=f"said{event['event_id']}"
                ),
                "send messages",
                room,
            )

    async def _sender(self, room: str, event: str) -> str:
        """Who wrote a message: only its author may edit it. Empty where it is not there."""
        known = self._senders.get(event)
        if known is None:
            try:
                answer = await self._client.call(lambda client: client.room_get_event(room, event), "read", room)
            except PermanentError:
                return ""
            known = str(answer.event.sender)
            self._remember(event, known)
        return known

    def _remember(self, event: str, sender: str) -> None:
        self._senders[event] = sender
        if len(self._senders) > KNOWN:
            self._senders.popitem(last=False)

    def _is_direct(self, room: str) -> bool:
        return any(room in rooms for rooms in self._direct.values())

    def _names(self, room: str) -> tuple[str, ...]:
        state = self._rooms.get(room)
        return (room,) if state is None else (room, state.canonical_alias or "", state.name or "")

    def _name(self, room: str, user: str) -> str:
        state = self._rooms.get(room)
        member = state.users.get(user) if state is not None else None
        return (member.display_name if member is not None else "") or user[1:].partition(":")[0]
