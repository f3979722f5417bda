"""The web chat: a message is judged before anybody sees it.

Its decision and its text are committed together, then it is broadcast. A browser sends again what was not
acknowledged, under the same id, and gets the same answer.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from chat_moderator.errors import ChatModeratorError
from chat_moderator.protocols import Clock
from chat_moderator.store.audit import AppendOnce, FindByKey, RecordsAfter
from chat_moderator.store.database import Store, digest_of
from chat_moderator.types import Assessment, Author, Decision, Message, Outcome, Record, Struct, Verdict, now

log = logging.getLogger(__name__)

CLIENT: Final = "webchat"
HISTORY: Final = 50
BACKLOG: Final = 256
"""Messages a slow window may lag behind before it is asked to connect again."""


class Config(Struct, frozen=True):
    """`deadline`: seconds a message may wait for its verdict; `on_failure`: what becomes of it then."""

    deadline: float = 1.5
    on_failure: Verdict = Verdict.HOLD


class Posted(Struct, frozen=True):
    """A message that everybody in a room may see."""

    seq: int
    room: str
    author: str
    text: str
    at: float


class WebChat:
    """The rooms of the web chat, and the enforcer of the client `webchat`.

    Args:
        moderate: one decision a message; may be slow or fail.
        committed: told of each new record.
    """

    def __init__(
        self,
        store: Store,
        moderate: Callable[[Sequence[Message]], Awaitable[Sequence[Decision]]],
        committed: Callable[[Sequence[Record]], None],
        *,
        config: Config | None = None,
        clock: Clock = now,
    ) -> None:
        self._store = store
        self._moderate = moderate
        self._committed = committed
        self._config = config or Config()
        self._clock = clock
        self._rooms: dict[str, set[asyncio.Queue[Posted | None]]] = {}

    async def post(self, message: Message) -> Record:
        """Judges, commits and, when allowed, shows a message; the same id again gets the first answer.

        Raises:
            ConflictError: the id was used for another text.
            OverloadedError: the store cannot write; nothing was kept.
        """
        received = self._clock()
        decision = await self._decide(message)
        record = Record(message, decision, received, self._clock())
        kept, new = await self._store.execute(AppendOnce(record=record, digest=digest_of(message.text)))
        if new:
            self._committed((kept,))
            if kept.decision.verdict is Verdict.ALLOW:
                self._show(kept)
        return kept

    async def history(self, room: str) -> list[Posted]:
        """The last 50 messages of a room that were let through, oldest first."""
        query = RecordsAfter(seq=0, limit=HISTORY, client=CLIENT, channel=room, shown=True, newest=True)
        return [_posted(record) for record in await self._store.ask(query)]

    @contextlib.contextmanager
    def listen(self, room: str) -> Iterator[asyncio.Queue[Posted | None]]:
        """A queue of what is shown in a room from now on; None in it asks the window to connect again."""
        queue: asyncio.Queue[Posted | None] = asyncio.Queue(BACKLOG)
        listeners = self._rooms.setdefault(room, set())
        listeners.add(queue)
        try:
            yield queue
        finally:
            listeners.discard(queue)
            if not listeners and self._rooms.get(room) is listeners:
                del self._rooms[room]

    async def delete(self, message: Message, *, reason: str) -> None:
        """What is not allowed was never shown."""

    async def timeout(self, message: Message, *, length: timedelta, reason: str) -> None:
        """The open demonstration room has no accounts to time out."""

    async def reply(self, message: Message, *, text: str) -> None:
        """The author's window was answered when the message was posted."""

    async def release(self, message: Message) -> None:
        """Shows a held message that a moderator approved."""
        if message.client != CLIENT:
            return  # another client's, which follows the decision feed
        record = await self._store.ask(FindByKey(message=message))
        if record is not None:
            self._show(record)

    async def alert(self, record: Record) -> bool:  # noqa: ARG002 -- whatever it is about
        """The room has no place for moderators."""
        return False

    async def undo(self, message: Message, outcome: Outcome) -> None:
        """Nothing that this enforcer does needs undoing."""

    async def _decide(self, message: Message) -> Decision:
        """The harsher of what is decided about the text and about the author's name, which everybody sees too."""
        name = msgspec.structs.replace(message, text=message.author.name)
        try:
            async with asyncio.timeout(self._config.deadline):
                of_text, of_name = await self._moderate((message, name))
        except Exception as problem:
            if not isinstance(problem, (TimeoutError, ChatModeratorError)):
                log.exception("a chat message could not be judged")
            return _failed(self._config.on_failure, problem)
        if of_name.verdict.severity <= of_text.verdict.severity:
            return of_text
        unspanned = msgspec.structs.replace(of_name.assessment, spans=())
        return msgspec.structs.replace(of_name, rule=f"name: {of_name.rule}", assessment=unspanned)

    def _show(self, record: Record) -> None:
        posted = _posted(record)
        for queue in self._rooms.get(posted.room, ()):
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(posted)


def _posted(record: Record) -> Posted:
    message = record.message
    return Posted(record.seq, message.channel, message.author.name, message.text, record.decided_at.timestamp())


def _failed(verdict: Verdict, problem: Exception) -> Decision:
    assessment = Assessment(scores={}, tier="none", model="none", degraded=True)
    reason = "no verdict in time" if isinstance(problem, TimeoutError) else "no verdict"
    return Decision(verdict, f"on_failure: {reason}", 0.0, assessment, policy="none")


def message_of(room: str, identifier: str, author: Author, text: str) -> Message:
    """A chat message as the domain knows it."""
    return Message(identifier, text, CLIENT, "webchat", channel=room, author=author)
