"""Asks the Perspective API, or a server that stands in for it, for scores."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx

from chat_moderator.cli.output import note
from chat_moderator.errors import ConfigError

TRIES: Final = 5
TIMEOUT: Final = httpx.Timeout(30.0)
_AGAIN: Final = (429, 500, 502, 503, 504)


def ask_all(
    texts: Sequence[str],
    attributes: Sequence[str],
    *,
    endpoint: str,
    key: str,
    language: str,
    rate: float,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[list[dict[str, float]], dict[str, int]]:
    """The scores of each text by attribute, none where it was refused; and how often which refusal came.

    Raises:
        ConfigError: the key is refused, or nobody answers there.
    """
    found: list[dict[str, float]] = []
    refusals = Counter[str]()
    with httpx.Client(timeout=TIMEOUT, headers={"x-goog-api-key": key}) as client:
        for number, text in enumerate(texts, start=1):
            due = time.monotonic() + 1 / rate
            body: dict[str, Any] = {
                "comment": {"text": text},
                "requestedAttributes": {name: {} for name in attributes},
                "doNotStore": True,
            } | ({"languages": [language]} if language else {})
            answer = _asked(client, f"{endpoint.rstrip('/')}/comments:analyze", body, sleep)
            if answer.is_success:
                scores = answer.json().get("attributeScores", {})
                found.append({name: float(each["summaryScore"]["value"]) for name, each in scores.items()})
            else:
                found.append({})
                refusals[_reason(answer)] += 1
            if number % 100 == 0:
                note(f"{number:,} of {len(texts):,} texts asked")
            sleep(max(0.0, due - time.monotonic()))
    return found, dict(refusals)


def _asked(client: httpx.Client, url: str, body: dict[str, Any], sleep: Callable[[float], None]) -> httpx.Response:
    for attempt in range(TRIES):
        try:
            answer = client.post(url, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise ConfigError("--endpoint", f"{url} does not answer: {type(problem).__name__}") from problem
        if answer.status_code in {401, 403} or "API_KEY_INVALID" in answer.text:
            raise ConfigError("--perspective", f"the key is refused with {answer.status_code}: {_reason(answer)}")
        if answer.status_code not in _AGAIN or attempt == TRIES - 1:
            break
        sleep(_pause(answer, attempt))
    return answer


def _pause(answer: httpx.Response, attempt: int) -> float:
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isdigit() else float(2**attempt)


def _reason(answer: httpx.Response) -> str:
    try:
        error = answer.json()["error"]
        details = error.get("details") or [{}]
        return str(details[0].get("errorType") or error["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"status {answer.status_code}"
