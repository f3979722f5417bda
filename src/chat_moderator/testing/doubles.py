"""Small real implementations for tests: a classifier of words, a platform with a journal, an observer that counts."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

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

    async def undo(self, message: Message, outcome: Outcome) -> None:
        """See `Enforcer.undo`."""
        self._call(f"undo {outcome.action}", message)

    def _call(self, name: str, message: Message) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.calls.append((name, message.id))


class CountingObserver:
    """Counts what was decided."""

    def __init__(self) -> None:
        self.count = 0

    def decided(self, records: Sequence[Record]) -> None:
        """See `Observer.decided`."""
        self.count += len(records)
