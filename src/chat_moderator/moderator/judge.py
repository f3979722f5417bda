"""The judging thread: the event loop never scores; it hands over batches and is told when they are done."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from chat_moderator.errors import OverloadedError
from chat_moderator.handover import Answer, hand_over
from chat_moderator.types import Decision, Message

CHUNK: Final = 256
"""Messages judged at a stretch; what is urgent waits for one chunk at most."""

Judgement = Callable[[Sequence[Message]], list[Decision]]


class Judge:
    """Runs a judgement on one thread. Urgent calls go before others, and what came meanwhile is judged in one batch.

    Args:
        judgement: decides about a batch; called from the judge's thread only.
        waiting: urgent messages that may wait before more are refused.
    """

    def __init__(self, judgement: Judgement, *, waiting: int = 20_000) -> None:
        self._judgement = judgement
        self._limit = waiting
        self._urgent: deque[tuple[Sequence[Message], asyncio.Future[list[Decision]]]] = deque()
        self._other: deque[tuple[Sequence[Message], asyncio.Future[list[Decision]]]] = deque()
        self._waiting = 0
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="judge", daemon=True)
        self._thread.start()

    async def judge(self, messages: Sequence[Message], *, urgent: bool) -> list[Decision]:
        """One decision a message, in order.

        Raises:
            OverloadedError: too much urgent work waits already.
        """
        chunks = [messages[start : start + CHUNK] for start in range(0, len(messages), CHUNK)]
        futures = [self._submit(chunk, urgent=urgent) for chunk in chunks]
        decided = [await future for future in futures]
        return decided[0] if len(decided) == 1 else [decision for chunk in decided for decision in chunk]

    def close(self) -> None:
        """Judges what waits, then ends the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _submit(self, messages: Sequence[Message], *, urgent: bool) -> "asyncio.Future[list[Decision]]":
        future: asyncio.Future[list[Decision]] = asyncio.get_running_loop().create_future()
        with self._wake:
            if self._closing or (urgent and self._waiting >= self._limit):
                raise OverloadedError("more messages wait for a verdict than can be judged in time")
            (self._urgent if urgent else self._other).append((messages, future))
            self._waiting += len(messages) if urgent else 0
            self._wake.notify()
        return future

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._urgent or self._other or self._closing):
                    self._wake.wait()
                batch = self._gather()
            if not batch:
                return
            self._settle(batch)

    def _gather(self) -> list[tuple[Sequence[Message], "asyncio.Future[list[Decision]]"]]:
        if not self._urgent:
            return [self._other.popleft()] if self._other else []
        batch: list[tuple[Sequence[Message], asyncio.Future[list[Decision]]]] = []
        size = 0
        while self._urgent and (not batch or size + len(self._urgent[0][0]) <= CHUNK):
            batch.append(self._urgent.popleft())
            size += len(batch[-1][0])
        self._waiting -= size
        return batch

    def _settle(self, batch: list[tuple[Sequence[Message], "asyncio.Future[list[Decision]]"]]) -> None:
        batch = [(messages, future) for messages, future in batch if not future.cancelled()]
        try:
            decisions = self._judgement([message for messages, _ in batch for message in messages])
        except Exception as error:  # noqa: BLE001 -- a classifier is a plugin: its failures are its callers' to see
            if len(batch) > 1:  # each caller gets its own answer, whoever's message it was
                for one in batch:
                    self._settle([one])
            else:
                hand_over([(future, None, error) for _, future in batch])
            return
        start, answers = 0, list[Answer]()
        for messages, future in batch:
            answers.append((future, decisions[start : start + len(messages)], None))
            start += len(messages)
        hand_over(answers)
