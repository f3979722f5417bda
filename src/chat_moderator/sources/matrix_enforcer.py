"""Acts in Matrix rooms; needs no reading connection."""

import asyncio
import hashlib
from datetime import timedelta
from typing import Any, Final

import nio

from chat_moderator.errors import NotFoundError, PermanentError, SkippedError
from chat_moderator.sources.matrix_alerts import alert_of, keys_of, notice, reaction_to
from chat_moderator.sources.matrix_client import MatrixClient, MatrixConfig
from chat_moderator.sources.matrix_mutes import MatrixMutes
from chat_moderator.types import Message, Outcome, Record

DIRECT: Final = "m.direct"


class MatrixEnforcer:
    """Implements `Enforcer`. What is sent has an id made from the message's key, so that nothing is shown twice."""

    def __init__(self, config: MatrixConfig) -> None:
        self._config = config
        self._client = MatrixClient(config.homeserver, config.token)
        self._mutes = MatrixMutes(self._client)
        self._direct: dict[str, list[str]] | None = None
        self._making = asyncio.Lock()  # one direct room an author, however many replies come at once

    async def delete(self, message: Message, *, reason: str) -> None:
        """Redacts the message, and its edits where it has some."""
        room, redacted = message.channel, [message.id]
        if message.revision:
            redacted += await self._edits(room, message.id)
        for event in redacted:
            try:
                await self._client.call(
                    lambda client, event=event: client.room_redact(  # type: ignore[misc]
                        room, event, reason=f"chat-moderator: {reason}"[:400], tx_id=_once(f"redact {event}", message)
                    ),
                    "redact messages",
                    room,
                )
            except NotFoundError:
                continue

    async def timeout(self, message: Message, *, length: timedelta, reason: str) -> None:  # noqa: ARG002 -- protocol
        """Lowers the author's power level until the time is over."""
        await self._mutes.mute(message.channel, message.author.id, length)

    async def reply(self, message: Message, *, text: str) -> None:
        """Writes to the author in a direct room; one who left it takes no private messages and is left alone."""
        async with self._making:
            room = await self._private(message.author.id)
        await self._send(room, notice(text), _once("reply", message))

    async def release(self, message: Message) -> None:
        """Shows the text again, under its author's name but as the account: a redacted message cannot come back."""
        shown = notice(f"{message.author.name} wrote:\n{message.text}")
        await self._send(message.channel, shown, _once("release", message))

    async def alert(self, record: Record) -> bool:
        """See `Enforcer.alert`; the reactions that answer it are there to be clicked."""
        room = self._config.moderators_channel
        if not room:
            return False
        event = await self._send(room, alert_of(record), _once(f"alert {record.seq}", record.message))
        for key in keys_of(record.decision.verdict):
            reaction = _once(f"reaction {record.seq} {key}", record.message)
            await self._send(room, reaction_to(event, key), reaction, kind="m.reaction")
        return True

    async def undo(self, message: Message, outcome: Outcome) -> None:
        """Ends a timeout; shows a redacted message again as `release` does."""
        match outcome.action:
            case "timeout":
                await self._mutes.unmute(message.channel, message.author.id)
            case "delete" | "hold":
                await self.release(message)
            case action:
                raise PermanentError(f"{action} cannot be taken back")

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _send(self, room: str, content: dict[str, Any], once: str, *, kind: str = "m.room.message") -> str:
        """The id of the event."""
        answer = await self._client.call(
            lambda client: client.room_send(room, kind, content, tx_id=once), "send messages", room
        )
        return str(answer.event_id)

    async def _edits(self, room: str, event: str) -> list[str]:
        """The ids of the latest edits of a message, a hundred at most."""
        path = ["rooms", room, "relations", event, "m.replace"]
        found = await self._client.ask(path, "see messages", room, base="/_matrix/client/v1")
        return [str(edit["event_id"]) for edit in found.get("chunk", ())]

    async def _rooms(self) -> dict[str, list[str]]:
        if self._direct is None:
            kept = await self._client.account_data(DIRECT)
            self._direct = {
                user: [str(room) for room in rooms] for user, rooms in kept.items() if isinstance(rooms, list)
            }
        return self._direct

    async def _private(self, user: str) -> str:
        """The direct room with somebody, made where there is none."""
        rooms = await self._rooms()
        for room in rooms.get(user, []):
            try:
                state = await self._client.call(
                    lambda client, room=room: client.room_get_state_event(room, "m.room.member", user),  # type: ignore[misc]
                    "see who is there",
                    room,
                )
            except PermanentError:
                continue
            if state.content.get("membership") in {"join", "invite"}:
                return room
            raise SkippedError("the author left the direct room, and takes no private messages")
        try:
            made = await self._client.call(
                lambda client: client.room_create(
                    is_direct=True, preset=nio.RoomPreset.private_chat, invite=[user], federate=True
                ),
                "write to its members directly",
            )
        except PermanentError as problem:
            raise SkippedError(f"the author takes no private messages: {problem}") from problem
        rooms.setdefault(user, []).insert(0, str(made.room_id))
        await self._client.keep_account_data(DIRECT, dict(rooms))
        return str(made.room_id)


def _once(purpose: str, message: Message) -> str:
    return hashlib.sha256(f"{purpose} {message.key}".encode(errors="replace")).hexdigest()[:32]
