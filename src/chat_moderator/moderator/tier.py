"""A tier that may be late or fail: scored on a thread of its own, within a deadline, behind a circuit breaker.

The breaker is that of Nygard, "Release It!" (2007): closed while all is well, open after a failure that repeats or a
missed deadline, and tried again after a pause.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from chat_moderator.errors import TransientError
from chat_moderator.protocols import Classifier
from chat_moderator.types import Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]

DEADLINE: Final = 3.0
"""Seconds that a call may take."""
PAUSE: Final = 5.0
"""Seconds that an open breaker waits before it lets one call try."""
FAILURES: Final = 3
"""Failed calls in a row that open the breaker; a single text that a classifier chokes on shall not."""
CHARACTERS: Final = 32_768
"""Characters of a call: a few tenths of a second of work, however long the texts are."""
EXPLAINED: Final = 2_048
"""Characters of texts explained in a call: an explanation costs many scores."""

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

Check = Callable[[str, "NDArray[np.float32]", int, int], "Scores"]


class Tier:
    """A classifier above the first. Called from one thread at a time.

    Args:
        name: its registry name.
        classifier: scores.
        check: raises PermanentError for scores that are none, and rounds the others.
        deadline: seconds a call may take.
        clock: seconds, growing.
    """

    def __init__(
        self,
        name: str,
        classifier: Classifier,
        check: Check,
        *,
        deadline: float = DEADLINE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.classifier = classifier
        self._check = check
        self._deadline = deadline
        self._clock = clock
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._late: Future[Any] | None = None
        self._failures = 0
        self._opened_at: float | None = None

    def score(self, texts: Sequence[str]) -> "Iterator[tuple[range, Scores | None]]":
        """Stretches of the texts with their scores, (stretch, labels) each; None where it could not answer in time."""
        for stretch in stretches(texts):
            try:
                yield stretch, self._score([texts[index] for index in stretch])
            except TransientError:
                yield stretch, None

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]] | None:
        """What the classifier says, None where it could not answer in time."""
        found: list[tuple[Span, ...]] = []
        try:
            for stretch in stretches(texts, EXPLAINED):
                found += self._call(partial(self.classifier.explain, [texts[index] for index in stretch]))
        except TransientError:
            return None
        return found

    def _score(self, texts: Sequence[str]) -> "Scores":
        def checked() -> "Scores":
            columns = len(self.classifier.labels)
            return self._check(self.name, self.classifier.score(texts), len(texts), columns)

        return self._call(checked)

    def _call(self, function: Callable[[], Answer]) -> Answer:
        """Raises TransientError when the breaker is open, the deadline passes or the classifier fails."""
        self._admit()
        call: Future[Answer] = Future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"tier {self.name}", daemon=True)
            self._thread.start()
        self._calls.put((function, call))
        try:
            answer = call.result(self._deadline)
        except TimeoutError as problem:
            if call.done():  # the classifier's own
                self._failed(problem, enough=False)
            else:
                self._late = call
                self._failed(problem, enough=True)
            raise TransientError(f"{self.name} did not answer in {self._deadline} s") from problem
        except Exception as problem:
            self._failed(problem, enough=False)
            raise TransientError(f"{self.name} failed: {type(problem).__name__}") from problem
        if self._opened_at is not None:
            log.warning("%s answers again", self.name)
        self._failures, self._opened_at = 0, None
        return answer

    def _admit(self) -> None:
        if self._late is not None and not self._late.done():
            raise TransientError(f"{self.name} is still busy with a call that was given up")
        self._late = None
        if self._opened_at is not None and self._clock() - self._opened_at < PAUSE:
            raise TransientError(f"{self.name} is not asked for now")

    def _failed(self, problem: BaseException, *, enough: bool) -> None:
        self._failures += 1
        if enough or self._failures >= FAILURES:
            self._opened_at = self._clock()
            reason = f"no answer in {self._deadline} s" if enough else f"{type(problem).__name__}: {problem}"
            log.error("%s is not asked for %.0f s, cheaper tiers answer: %s", self.name, PAUSE, reason)

    def _run(self) -> None:
        while True:
            function, call = self._calls.get()
            try:
                call.set_result(function())
            except BaseException as problem:  # noqa: BLE001 -- whatever a plugin raises is the caller's to see
                call.set_exception(problem)


def stretches(texts: Sequence[str], most: int = CHARACTERS) -> Iterator[range]:
    """Stretches of texts that are not too long together."""
    begin = characters = 0
    for index, text in enumerate(texts):
        if index > begin and characters + len(text) > most:
            yield range(begin, index)
            begin, characters = index, 0
        characters += len(text)
    if begin < len(texts):
        yield range(begin, len(texts))
