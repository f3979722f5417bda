"""Small real implementations for tests: a classifier of words, a platform with a journal, an observer that counts."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from chat_moderator.types import LABELS, Message, Outcome, Record, Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class WordClassifier:
    """Scores 0.95 for toxicity where a text holds `bad`, 0.6 where it holds `odd`; fails on `poison`; waits on `slow`.

    Set `answer` to let what waits go on.
    """

    labels = LABELS
    version = "words-1"

    def __init__(self) -> None:
        self.answer = threading.Event()

    def score(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """See `Classifier.score`."""
        import numpy as np

        scores = np.zeros((len(texts), len(LABELS)), dtype=np.float32)
        for row, text in enumerate(texts):
            if "poison" in text:
                raise RuntimeError("this text cannot be scored")
            if "slow" in text:
                self.answer.wait()
            scores[row, 0] = 0.95 if "bad" in text else 0.6 if "odd" in text else 0.0
        return scores

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """See `Classifier.explain`."""
        return [
            tuple(Span(text.index(word), text.index(word) + 3, "toxicity") for word in ("bad", "odd") if word in text)
            for text in texts
        ]


class JournalEnforcer:
    """Writes down every call; `errors` are raised first, one a call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.errors: list[Exception] = []
        self.moderators = False

    async def delete(self, message: Message, *, reason: str) -> None:
        """See `Enforcer.delete`."""
        self._call("delete", message)

    async def timeout(self, message: Message, *, length: timedelta, reason: str) -> None:
        """See `Enforcer.timeout`."""
        self._call("timeout", message)

    async def reply(self, message: Message, *, text: str) -> None:
        """See `Enforcer.reply`."""
        self._call("reply", message)

    async def release(self, message: Message) -> None:
        """See `Enforcer.release`."""
        self._call("release", message)

    async def alert(self, record: Record) -> bool:
        """See `Enforcer.alert`; it has a place for moderators when `moderators` is set."""
        if self.moderators:
            self._call("alert", record.message)
        return self.moderators

    async def undo(self, message: Message, outcome: Outcome) -> None:
        """See `Enforcer.undo`."""
        self._call(f"undo {outcome.action}", message)

    def _call(self, name: str, message: Message) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.calls.append((name, message.id))


class JournalIntake:
    """Takes in what a source reads, in memory, by the rules of `Intake`: one message a key."""

    def __init__(self, name: str = "test") -> None:
        self.name = name
        self.messages: list[Message] = []
        self.resolved: list[tuple[int, bool, str]] = []
        self.bookmarks: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        self.gaps: list[str] = []
        self.ups = 0
        self._changed = asyncio.Condition()
        self._known: dict[tuple[str, str, str, str, int], str] = {}

    async def accept(self, messages: Sequence[Message], *, delivery: str = "") -> None:
        """See `Intake.accept`."""
        for given in messages:
            message = msgspec.structs.replace(given, client=self.name)
            known = self._known.get(message.key)
            assert known in {None, message.text}, f"{message.key} came with two texts, so one of them is never judged"
            if known is None:
                self._known[message.key] = message.text
                self.messages.append(message)
        await self._notify()

    def connected(self) -> None:
        """See `Intake.connected`."""
        self.ups += 1
        self._soon = asyncio.ensure_future(self._notify())

    async def resolve(self, seq: int, *, approve: bool, moderator: str) -> str:
        """See `Intake.resolve`."""
        self.resolved.append((seq, approve, moderator))
        await self._notify()
        return f"{'Approved' if approve else 'Denied'} by {moderator}."

    async def bookmark(self, name: str) -> str:
        """See `Intake.bookmark`."""
        return self.bookmarks.get(name, "")

    async def keep(self, name: str, place: str) -> None:
        """See `Intake.keep`."""
        self.bookmarks[name] = place

    def report(self, topic: str, problem: str) -> None:
        """See `Intake.report`."""
        self.problems[topic] = problem

    def gap(self, detail: str) -> None:
        """See `Intake.gap`."""
        self.gaps.append(detail)
        self._soon = asyncio.ensure_future(self._notify())

    async def until(self, holds: Callable[[], bool], *, seconds: float = 20.0) -> None:
        """Waits until something holds that a call to this intake can bring about."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(holds)

    async def texts(self, count: int) -> list[str]:
        """The texts of the first `count` messages, once there are so many; fails when there are more."""
        await self.until(lambda: len(self.messages) >= count)
        assert len(self.messages) == count, [message.text for message in self.messages]
        return [message.text for message in self.messages]

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class CountingObserver:
    """Counts what was decided."""

    def __init__(self) -> None:
        self.count = 0

    def decided(self, records: Sequence[Record]) -> None:
        """See `Observer.decided`."""
        self.count += len(records)
