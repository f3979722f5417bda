"""From a thread to those who wait on an event loop: one wake-up a batch, however many wait."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

Answer = tuple["asyncio.Future[Any]", Any, BaseException | None]
"""Who waits, the result, and the error where there is one."""


def hand_over(answers: Iterable[Answer]) -> None:
    """Resolves futures of event loops from another thread; a loop that has ended is passed over.

    `asyncio.wrap_future` does it one by one, with two locks and a wake-up each, which cost more than a small commit.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for answer in answers:
        by_loop.setdefault(answer[0].get_loop(), []).append(answer)
    for loop, theirs in by_loop.items():
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, theirs)


def _resolve(answers: list[Answer]) -> None:
    for future, result, error in answers:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
