"""Odd requests for the compatible APIs: good ones with a few places changed, and what is no JSON at all."""

import json
import random
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

MODERATIONS: Final = "/v1/moderations"
ANALYZE: Final = "/v1alpha1/comments:analyze"
SUGGEST: Final = "/v1alpha1/comments:suggestscore"
GOOD: Final[dict[str, list[Any]]] = {
    MODERATIONS: [
        {"input": "you are bad", "model": "omni-moderation-latest"},
        {"input": ["one", "two"]},
        {"input": [{"type": "text", "text": "so"}, {"type": "image_url", "image_url": {"url": "https://example.org"}}]},
    ],
    ANALYZE: [
        {
            "comment": {"text": "You are bad. Really!", "type": "PLAIN_TEXT"},
            "requestedAttributes": {"TOXICITY": {"scoreType": "PROBABILITY", "scoreThreshold": 0.1}, "INSULT@0": {}},
            "languages": ["en"],
            "spanAnnotations": True,
            "doNotStore": True,
            "clientToken": "t",
            "sessionId": "s",
            "communityId": "c",
            "context": {"entries": [{"text": "before", "type": "PLAIN_TEXT"}]},
        }
    ],
    SUGGEST: [
        {
            "comment": {"text": "fine"},
            "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}, "spanScores": [{"begin": 0, "end": 4}]}},
            "clientToken": "comment:1",
        }
    ],
}
ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 2**63, 1e308, 0.5, "", " ", "x", "\0", "\ud800", "\u202e", "😀" * 300, "a" * 25_000, [],
    {}, [[]], [None], [{}], {"": None}, {"type": "text"}, ["x"] * 300, "TOXICITY", "HTML", "en", "zz", "und",
)  # fmt: skip
METHODS: Final = ("POST",) * 12 + ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
MEDIA: Final = ("application/json",) * 8 + ("application/json; charset=utf-8", "text/plain", "", "application/xml")


class Odd(NamedTuple):
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes


def requests(count: int, seed: int = 1) -> Iterator[Odd]:
    """Mutations of good requests, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        path = chance.choice(list(GOOD))
        body = json.loads(json.dumps(chance.choice(GOOD[path])))
        for _ in range(chance.randint(0, 3)):
            body = mutated(body, chance)
        content = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode(errors="surrogatepass")
        if chance.random() < 0.15:
            content = torn(content, chance)
        media = chance.choice(MEDIA)
        yield Odd(chance.choice(METHODS), path, {"content-type": media} if media else {}, content)


def mutated(value: Any, chance: random.Random) -> Any:
    """The value with one place changed."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice(list(value))
        match chance.randrange(5):
            case 0:
                return {key: inner for key, inner in value.items() if key != name}
            case 1:
                return value | {
                    chance.choice(("more", "", "input", "comment", "\ud800", name.upper())): chance.choice(ODD)
                }
            case _:
                return value | {name: mutated(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.7:
        index = chance.randrange(len(value))
        return [*value[:index], mutated(value[index], chance), *value[index + chance.randrange(2) :]]
    return chance.choice(ODD)


def torn(content: bytes, chance: random.Random) -> bytes:
    """Bytes that are no JSON any more, most of the time."""
    place = chance.randrange(len(content) + 1)
    match chance.randrange(4):
        case 0:
            return content[:place]
        case 1:
            return content[:place] + chance.randbytes(3) + content[place:]
        case 2:
            return b"[" * 5000 + content
        case _:
            return content + content


def complaint(path: str, status: int, content: bytes, method: str) -> str:
    """What is wrong with an answer; empty where nothing is."""
    if status >= 500 and status != 503:
        return f"status {status}"
    if status < 400 or method == "HEAD":
        return ""
    try:
        error = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        return f"no error in {content[:200]!r}"
    if path.startswith(MODERATIONS):
        fits = set(error) == {"message", "type", "param", "code"} and isinstance(error["message"], str)
    else:
        fits = (
            {"code", "message", "status"} <= set(error)
            and error["code"] == status
            and isinstance(error["details"], list)
        )
    return "" if fits else f"odd error {error}"
