"""A moderator elsewhere as a classifier: a deployed function, or any server that answers `POST /run`.

It is asked in batches over kept connections; Cerebrium's wrapper `{"run_id", "run_time_ms", "result"}` is taken off.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Annotated, Final

import httpx
import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from chat_moderator.errors import ConfigError, PermanentError, TransientError
from chat_moderator.net import retry_after
from chat_moderator.types import LABELS, Span, Struct

TRIES: Final = 3
"""Calls of a batch, the first included, before the caller has to try again later."""

LONGEST_PAUSE: Final = 2.0
"""Seconds between two calls; who is told to wait longer tells its own caller so."""

BODY: Final = 512 * 1024
"""Bytes of the texts of a call, below what functions take once they are JSON."""

_OF_THE_TEXTS: Final = (400, 413, 422)
_BUSY: Final = 429
_FAILING: Final = 500
_LONGEST_TEXT: Final = 20_000
"""Characters; what comes after them in a text is not sent."""


class Config(Struct, frozen=True):
    """Whom to ask and how.

    Args:
        url: of the function, such as `https://api.cerebrium.ai/v4/p-1a2b3c/chat-moderator/run`.
        token: sent as a bearer where not empty.
        timeout: seconds for one call, a cold start included.
        batch: texts a call.
        concurrency: calls at once.
    """

    url: str
    token: str = ""
    timeout: float = 30.0
    batch: int = 64
    concurrency: int = 4


class _Result(msgspec.Struct, frozen=True):
    id: str
    scores: dict[str, Annotated[float, Meta(ge=0.0, le=1.0)]]


class _Results(msgspec.Struct, frozen=True):
    results: list[_Result]


class _Wrapped(msgspec.Struct, frozen=True):
    result: _Results | None = None
    results: list[_Result] | None = None


class RemoteClassifier:
    """Scores by asking a moderator elsewhere (`Classifier`).

    While it cannot be asked, `score` raises TransientError: the caller keeps its messages and tries again.

    Args:
        pause: waits for so many seconds.

    Raises:
        ConfigError: a setting cannot be used.
    """

    labels: tuple[str, ...] = LABELS

    def __init__(self, config: Config, *, pause: Callable[[float], None] = time.sleep) -> None:
        _check(config)
        self._config = config
        self._pause = pause
        self.version = f"remote-{hashlib.sha256(config.url.encode()).hexdigest()[:12]}"
        headers = {"authorization": f"Bearer {config.token}"} if config.token else {}
        limits = httpx.Limits(max_connections=config.concurrency)
        self._client = httpx.Client(headers=headers, timeout=config.timeout, limits=limits, follow_redirects=False)
        self._callers = ThreadPoolExecutor(config.concurrency, thread_name_prefix="remote")

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(len(texts), len(labels)), each 0 to 1; 0 for a label that the other side does not know.

        Raises:
            TransientError: the function cannot be reached, refuses the token, or has too much to do.
            PermanentError: it refuses these texts.
        """
        scores = np.zeros((len(texts), len(self.labels)), np.float32)
        calls = list(_parts(texts, self._config.batch))
        for part, results in zip(calls, self._callers.map(lambda part: self._ask(texts, part), calls), strict=True):
            for index, result in zip(part, results, strict=True):
                scores[index] = [result.scores.get(label, 0.0) for label in self.labels]
        return scores

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """Nothing: the short answer does not say where."""
        return [() for _ in texts]

    def close(self) -> None:
        """Ends the connections."""
        self._callers.shutdown()
        self._client.close()

    def _ask(self, texts: Sequence[str], part: range) -> list[_Result]:
        body = msgspec.json.encode(
            {"messages": [{"id": str(index), "text": _sendable(texts[index])} for index in part]}
        )
        for tried in range(1, TRIES + 1):
            try:
                return _results(self._post(body), part)
            except TransientError as problem:
                seconds = problem.retry_after.total_seconds() if problem.retry_after else 0.1 * 4**tried
                if tried == TRIES or seconds > LONGEST_PAUSE:
                    raise
                self._pause(seconds)
        raise AssertionError  # pragma: no cover -- the last try returns or raises

    def _post(self, body: bytes) -> bytes:
        url = self._config.url
        try:
            answer = self._client.post(url, content=body, headers={"content-type": "application/json"})
        except httpx.HTTPError as problem:
            raise TransientError(f"{url} cannot be reached: {type(problem).__name__}") from problem
        status = answer.status_code
        if answer.is_success:
            return answer.content
        if status in _OF_THE_TEXTS:
            raise PermanentError(f"{url} refuses these texts: {status} {answer.text[:200]}")
        if status == _BUSY or status >= _FAILING:
            raise TransientError(f"{url} is busy or failing: {status}", retry_after=retry_after(answer))
        cure = "check classifiers.remote.url and token"
        raise TransientError(f"{url} answers {status}: {cure}", retry_after=timedelta(seconds=2 * LONGEST_PAUSE))


def _parts(texts: Sequence[str], most: int) -> Iterator[range]:
    """Stretches of at most so many texts that are not too large together."""
    begin = size = 0
    for index, text in enumerate(texts):
        own = 4 * min(len(text), _LONGEST_TEXT)
        if index > begin and (index - begin == most or size + own > BODY):
            yield range(begin, index)
            begin, size = index, 0
        size += own
    if begin < len(texts):
        yield range(begin, len(texts))


def _sendable(text: str) -> str:
    """The text as a function takes it: not too long, and without what JSON or a store cannot hold."""
    return text[:_LONGEST_TEXT].replace("\0", "\ufffd").encode(errors="replace").decode()


def _results(content: bytes, part: range) -> list[_Result]:
    """The results of a call, one a text in order.

    Raises:
        TransientError: the answer is of another form; a proxy or another service may have given it.
    """
    try:
        body = msgspec.json.decode(content, type=_Wrapped)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise TransientError(f"the function's answer is of another form: {problem}") from problem
    found = body.result.results if body.result is not None else body.results
    if found is None or [result.id for result in found] != [str(index) for index in part]:
        raise TransientError("the function's answer is not about what was asked")
    return found


def _check(config: Config) -> None:
    if not config.url.startswith(("https://", "http://")):
        raise ConfigError("classifiers.remote.url", "an address that starts with https:// or http:// is needed")
    for name in ("timeout", "batch", "concurrency"):
        if not getattr(config, name) > 0:
            raise ConfigError(f"classifiers.remote.{name}", "a number above 0 is needed")
