"""Logging: one event is one line, whatever it holds; no message text and no secret unless somebody asks for it."""

import logging
import re
import sys
import traceback
from pathlib import Path
from typing import IO, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from chat_moderator.errors import ChatModeratorError, ConfigError
from chat_moderator.printable import printable

FORMATS: Final = ("console", "json")
LEVELS: Final = ("debug", "info", "warning", "error")
CONFIDENTIAL: Final = frozenset({"authorization", "secret", "text", "token"})
"""Keys whose values never reach the log."""

QUIET: Final = ("httpcore", "httpx", "uvicorn.access")
"""Libraries whose lines would hold the addresses of incoming webhooks, which are secrets, or paths of requests."""


def configure(form: str, level: str, stream: IO[str] | None = None) -> None:
    """Routes structlog and the standard library's loggers to `stream` (standard error where None).

    Args:
        form: `console`, for people, or `json`.
        level: debug, info, warning or error; only `debug` shows the words of unforeseen errors, which may quote a text.
        stream: where lines go.

    Raises:
        ConfigError: there is no such format or level.
    """
    if form not in FORMATS:
        raise ConfigError("log.format", f"{form!r} is not known; there are {', '.join(FORMATS)}")
    if level not in LEVELS:
        raise ConfigError("log.level", f"{level!r} is not known; there are {', '.join(LEVELS)}")
    target = stream if stream is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Failure(wordy=level == "debug"),
        _one_line,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(sort_keys=True)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=target.isatty(), pad_event_to=0)
    )
    lines = logging.StreamHandler(target)
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[lines], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class _Failure:
    """Puts an exception into one line: what it is, what it came from, and where."""

    def __init__(self, *, wordy: bool) -> None:
        self._wordy = wordy

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        found = event.pop("exc_info", None)
        error = sys.exc_info()[1] if found is True else found[1] if isinstance(found, tuple) else found
        if not isinstance(error, BaseException):
            return event
        event["where"] = " < ".join(
            f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
            for frame in reversed(traceback.extract_tb(error.__traceback__))
        )
        chain = []
        while error is not None:
            chain.append(self._named(error))
            error = error.__cause__
        event["error"] = " from ".join(chain)
        return event

    def _named(self, error: BaseException) -> str:
        foreseen = isinstance(error, (ChatModeratorError, OSError))
        return f"{type(error).__name__}: {error}" if foreseen or self._wordy else type(error).__name__


def _one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if key in CONFIDENTIAL:
            event[key] = "(left out)"
        elif not key.startswith("_") and not isinstance(value, (bool, int, float, type(None))):
            event[key] = printable(_SECRETS.sub(r"\1…", str(value)))
    return event


_SECRETS: Final = re.compile(r"(\bcm_[0-9a-f]{12}_|\bwhsec_|\b[Bb]earer\s+)[\w+/=.~-]+")
