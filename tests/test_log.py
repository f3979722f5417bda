import io
import json
import logging
from collections.abc import Iterator

import httpx
import pytest
import structlog

from chat_moderator import log
from chat_moderator.errors import ConfigError, TransientError

ODD = "one\ntwo\r\x1b[31m\x00\u2028\u202e\u0085\ud800 {}%s [bold]"
TOKEN = "cm_0123456789ab_" + "Ab-_" * 10


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def written(form: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    log.configure(form, level, stream)
    return stream


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def logged(error: Exception, logger: str = "x", event: str = "failed") -> None:
    try:
        raise error
    except type(error):
        logging.getLogger(logger).exception(event)


@pytest.mark.parametrize("form", log.FORMATS)
def test_one_event_is_one_printable_line_whatever_it_holds(form: str) -> None:
    stream = written(form)
    logging.getLogger("a.library").warning("said %s", ODD)
    structlog.get_logger("ours").warning(ODD, field=ODD, table={"key": ODD}, number=3)
    logged(TransientError(ODD), "a.library", ODD)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert "one" in lines[0]


@pytest.mark.parametrize("form", log.FORMATS)
def test_texts_and_secrets_stay_out(form: str) -> None:
    stream = written(form)
    structlog.get_logger().info("judged", text="canary", token="canary", secret="canary", authorization="canary")
    logging.getLogger("x").info("refused %s and Bearer canary/x and whsec_canary+=", TOKEN)
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://127.0.0.1:1/canary")
    logged(caused(KeyError("canary"), ValueError("canary")))
    assert "canary" not in stream.getvalue()
    assert "Ab-_" not in stream.getvalue()
    assert "KeyError from ValueError" in stream.getvalue()
    assert "test_log.py" in stream.getvalue()


def test_what_went_wrong_is_told_where_it_was_foreseen_and_always_when_debugging() -> None:
    for level, told in (("info", False), ("debug", True)):
        stream = written("json", level)
        logged(caused(TransientError("busy"), RuntimeError("because")))
        event = json.loads(stream.getvalue())
        assert event["error"] == "TransientError: busy from RuntimeError" + (": because" if told else "")
        assert event["level"] == "error"


def test_json_has_level_logger_and_time_in_utc() -> None:
    stream = written("json")
    logging.getLogger("x.y").info("hello")
    event = json.loads(stream.getvalue())
    assert (event["event"], event["level"], event["logger"]) == ("hello", "info", "x.y")
    assert event["timestamp"].endswith("Z")


def test_the_level_holds_for_libraries_and_for_us() -> None:
    stream = written("console", "warning")
    logging.getLogger("x").info("no")
    structlog.get_logger().info("no")
    logging.getLogger("x").warning("yes")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize(("form", "level", "path"), [("xml", "info", "log.format"), ("json", "loud", "log.level")])
def test_what_is_not_known_is_refused(form: str, level: str, path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        log.configure(form, level)
    assert refused.value.path == path
