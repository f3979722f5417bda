"""One call to an OpenAI-compatible server, with an end in time and size."""

import math
from typing import Any, Final

import httpx
import msgspec

from chat_moderator.classifiers.llm_templates import Answer, Question

LARGEST: Final = 256 * 1024
"""Bytes of an answer."""
_OK: Final = 200
_REFUSED: Final = (400, 422)
_OF_THE_TEXT: Final = (400, 413, 422)
"""Answers that may be about this one text; any other says that the server cannot be used."""


class Abstained(Exception):  # noqa: N818 -- it is no error: the tier has nothing to say
    """No answer that counts; `failure` says that the server does not work, `retry_after` how long to wait (seconds)."""

    def __init__(self, reason: str, *, failure: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.failure = failure
        self.retry_after = retry_after


class Usage(msgspec.Struct, frozen=True):
    """Tokens of a call; 0 where the server does not count."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    finish_reason: str | None = None
    message: _Message | None = None
    text: str | None = None
    logprobs: Any = None


class _Body(msgspec.Struct, frozen=True):
    choices: list[_Choice]
    usage: Usage | None = None


class LlmClient:
    """Asks one server; used from one event loop.

    Args:
        url: below which the paths are, such as `https://api.example.org/v1`.
        key: sent as a bearer token where not empty.
        timeout: seconds for connecting and between two pieces of an answer.
    """

    def __init__(self, url: str, key: str, timeout: float) -> None:
        headers = {"accept-encoding": "identity"} | ({"authorization": f"Bearer {key}"} if key else {})
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/") + "/", headers=headers, timeout=timeout, follow_redirects=False
        )
        self._plain = False

    async def ask(self, question: Question) -> tuple[Answer, Usage]:
        """The server's answer. One that refuses the optional fields is asked without them, from then on.

        Raises:
            Abstained: there is none that counts.
        """
        status, content, headers = await self._post(question, optional=not self._plain)
        if status in _REFUSED and not self._plain:
            status, content, headers = await self._post(question, optional=False)
            self._plain = status == _OK
        if status != _OK:
            retry_after = _seconds(headers.get("retry-after"))
            raise Abstained(f"status {status}", failure=status not in _OF_THE_TEXT, retry_after=retry_after)
        return _read(content)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _post(self, question: Question, *, optional: bool) -> tuple[int, bytes, httpx.Headers]:
        body = question.body | (question.optional if optional else {})
        content = bytearray()
        try:
            async with self._client.stream("POST", question.path, json=body) as answer:
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise Abstained("compressed answer")
                async for part in answer.aiter_raw():
                    content += part
                    if len(content) > LARGEST:
                        raise Abstained("huge answer")
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise Abstained(type(problem).__name__, failure=True) from problem
        return answer.status_code, bytes(content), answer.headers


def _read(content: bytes) -> tuple[Answer, Usage]:
    try:
        body = msgspec.json.decode(content, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Abstained("unreadable answer") from problem
    if not body.choices:
        raise Abstained("empty answer")
    choice = body.choices[0]
    if choice.message is not None and choice.message.refusal:
        raise Abstained("refusal")
    said = choice.message.content if choice.message is not None else choice.text
    if not said:
        raise Abstained("empty answer")
    # One token is all that a yes or no takes, so that form ends by its length.
    if choice.finish_reason != "stop" and choice.message is not None:
        raise Abstained("cut off")
    return Answer(said, _first(choice.logprobs)), body.usage or Usage()


def _first(logprobs: Any) -> dict[str, float]:
    """Log probabilities of the first token, from either form of them; empty where there are none."""
    try:
        if "content" in logprobs:
            found = {each["token"]: each["logprob"] for each in logprobs["content"][0]["top_logprobs"]}
        else:
            found = logprobs["top_logprobs"][0]
        return {str(token): float(value) for token, value in found.items() if math.isfinite(value)}
    except (TypeError, KeyError, IndexError, AttributeError, ValueError):
        return {}


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
