"""A language model behind an OpenAI-compatible server: it may add to what other tiers say, and never takes away."""

import asyncio
import contextlib
import hashlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers.llm_client import Abstained, LlmClient, Usage
from chat_moderator.classifiers.llm_limits import Allowance
from chat_moderator.classifiers.llm_templates import REVISION, Question, Template, labels_of, questions
from chat_moderator.errors import ConfigError
from chat_moderator.types import Span, Struct, now

log = logging.getLogger(__name__)

_KEY: Final = "classifiers.llm"
_MILLION: Final = 1_000_000
_BYTES_A_TOKEN: Final = 3
_BETWEEN_LOGS: Final = 60.0


class Config(Struct, frozen=True):
    """Whom to ask, how, and how much.

    Args:
        url: of the server, up to and with its version: "http://127.0.0.1:8000/v1".
        model: as the server calls it.
        template: llama-guard, shieldgemma, gpt-oss-safeguard or json.
        key: sent as a bearer token where not empty.
        timeout: seconds for all texts that are scored together; what is not answered then is abstained from.
        concurrency: calls at once.
        per_minute: calls.
        budget: money a day (UTC) by the two prices, 0 is no limit; counted anew after a restart.
        input_price, output_price: money a million tokens.
    """

    url: str
    model: str
    template: Template = Template.JSON
    key: str = ""
    timeout: float = 5.0
    concurrency: int = 4
    per_minute: int = 600
    budget: float = 0.0
    input_price: float = 0.0
    output_price: float = 0.0


class LlmClassifier:
    """Scores by a language model (`Classifier`). What it has no answer to scores 0: it abstains.

    Attributes:
        abstentions: how often, by reason.
        only_adds: it may be a hint and no tier, for its zeros would replace what a tier below said.

    Raises:
        ConfigError: a setting cannot be used.
    """

    only_adds: Final = True

    def __init__(
        self, config: Config, *, monotonic: Callable[[], float] = time.monotonic, clock: Callable[[], datetime] = now
    ) -> None:
        _check(config)
        self._config = config
        self._monotonic = monotonic
        self.labels: tuple[str, ...] = labels_of(config.template)
        described = f"{REVISION} {config.template} {config.model} {config.url}"
        self.version = f"llm-{hashlib.sha256(described.encode()).hexdigest()[:12]}"
        self.abstentions: Counter[str] = Counter()
        self._allowance = Allowance(config.per_minute, config.budget, monotonic, clock)
        self._unsaid: Counter[str] = Counter()
        self._said_at = -_BETWEEN_LOGS
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(len(texts), len(labels)), each 0 to 1; 0 where it abstains. The same text is asked about once."""
        scores = np.zeros((len(texts), len(self.labels)), np.float32)
        places: dict[str, list[int]] = {}
        for index, text in enumerate(texts):
            if text.strip():
                places.setdefault(text, []).append(index)
        if not places:
            return scores
        columns = {label: column for column, label in enumerate(self.labels)}
        for text, found in self._judged(list(places)):
            for label, score in found.items():
                column = columns[label]
                scores[places[text], column] = np.maximum(scores[places[text], column], np.float32(score))
        self._report()
        return scores

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """Nothing: it is not asked where it saw what it says."""
        return [() for _ in texts]

    def close(self) -> None:
        """Ends the thread that asks; the next `score` starts another."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop = None

    def _judged(self, texts: list[str]) -> list[tuple[str, dict[str, float]]]:
        loop = self._running()
        return asyncio.run_coroutine_threadsafe(self._ask_all(texts), loop).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        """The loop of the thread that asks, started with the first text in each process: a fork has no threads."""
        if self._loop is None or self._process != os.getpid():
            self._process = os.getpid()
            started = threading.Event()
            loop = asyncio.new_event_loop()
            self._loop = loop
            self._thread = threading.Thread(target=self._run, args=(loop, started), name="llm", daemon=True)
            self._thread.start()
            started.wait()
        return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop, started: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        self._client = LlmClient(self._config.url, self._config.key, self._config.timeout)
        self._slots = asyncio.Semaphore(self._config.concurrency)
        loop.call_soon(started.set)
        loop.run_forever()
        loop.run_until_complete(self._client.aclose())
        loop.close()

    async def _ask_all(self, texts: list[str]) -> list[tuple[str, dict[str, float]]]:
        asked = [
            (text, asyncio.create_task(self._ask(question)))
            for text in texts
            for question in questions(self._config.template, self._config.model, text)
        ]
        _, late = await asyncio.wait([task for _, task in asked], timeout=self._config.timeout)
        for task in late:
            task.cancel()
            self._abstain("timeout")
        found = []
        for text, task in asked:
            with contextlib.suppress(asyncio.CancelledError):
                found.append((text, await task))
        return found

    async def _ask(self, question: Question) -> dict[str, float]:
        """Scores of one question; empty where there is no answer."""
        async with self._slots:
            expected = self._expected(question)
            if reason := self._allowance.ask(expected):
                return self._abstain(reason)
            try:
                answer, usage = await self._client.ask(question)
            except Abstained as problem:
                if problem.failure:
                    self._allowance.failed(problem.retry_after)
                else:
                    self._allowance.answered()
                return self._abstain(problem.reason)
            except asyncio.CancelledError:
                self._allowance.failed()
                raise
            self._allowance.answered()
            if usage != Usage():
                self._allowance.settle(expected, self._price(usage))
            found = question.read(answer)
            return self._abstain("not of the agreed form") if found is None else dict(found)

    def _expected(self, question: Question) -> float:
        """The most that a question may cost."""
        size = len(msgspec.json.encode(question.body)) // _BYTES_A_TOKEN
        return self._price(Usage(size, question.body["max_tokens"]))

    def _price(self, usage: Usage) -> float:
        config = self._config
        spent = usage.prompt_tokens * config.input_price + usage.completion_tokens * config.output_price
        return spent / _MILLION

    def _abstain(self, reason: str) -> dict[str, float]:
        self.abstentions[reason] += 1
        self._unsaid[reason] += 1
        return {}

    def _report(self) -> None:
        """Says what was abstained from, at most once a minute."""
        at = self._monotonic()
        if self._unsaid and at >= self._said_at + _BETWEEN_LOGS:
            reasons = ", ".join(f"{reason} ({count})" for reason, count in self._unsaid.most_common())
            log.warning("the language model has not judged %d times: %s", self._unsaid.total(), reasons)
            self._unsaid.clear()
            self._said_at = at


def _check(config: Config) -> None:
    if not config.url.startswith(("https://", "http://")):
        raise ConfigError(f"{_KEY}.url", "an address that starts with https:// or http:// is needed")
    for name in ("timeout", "concurrency", "per_minute"):
        if not getattr(config, name) > 0:
            raise ConfigError(f"{_KEY}.{name}", "a number above 0 is needed")
    for name in ("budget", "input_price", "output_price"):
        if not getattr(config, name) >= 0:
            raise ConfigError(f"{_KEY}.{name}", "0 or more is needed")
    if config.budget and not config.input_price + config.output_price:
        raise ConfigError(f"{_KEY}.budget", "input_price or output_price is needed to know what is spent")
