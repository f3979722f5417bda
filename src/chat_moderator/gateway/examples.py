"""Requests and answers as the documentation shows them; the tests hold them against their types."""

from typing import Any, Final

_SCORES: Final = {
    "toxicity": 0.0135,
    "severe_toxicity": 0.0008,
    "obscene": 0.0041,
    "threat": 0.0012,
    "insult": 0.0067,
    "identity_attack": 0.0015,
    "sexual_explicit": 0.0011,
    "self_harm": 0.0004,
    "spam": 0.0209,
}

RUN: Final[dict[str, Any]] = {"messages": [{"id": "1", "text": "Hello!"}]}
RAN: Final[dict[str, Any]] = {
    "results": [
        {
            "id": "1",
            "action": "allow",
            "score": 0.0209,
            "scores": _SCORES,
            "rule": "default",
            "model": "ngram-4f1c2d9a7b30",
            "policy": "9c1e5a3f2b7d",
        }
    ]
}

MESSAGES: Final[dict[str, Any]] = {
    "messages": [
        {
            "id": "1042",
            "text": "Hello!",
            "platform": "my-game",
            "community": "europe",
            "channel": "lobby",
            "author": {"id": "u-17", "name": "Robin", "roles": ["player"], "joined_at": "2026-01-31T12:00:00Z"},
            "sent_at": "2026-02-01T18:30:00Z",
            "language": "en",
        }
    ]
}
RESULT: Final[dict[str, Any]] = {
    "id": "1042",
    "action": "allow",
    "score": 0.0209,
    "scores": _SCORES,
    "rule": "default",
    "label": "spam",
    "reply": "",
    "actions": [],
    "spans": [],
    "hints": {},
    "tier": "ngram",
    "degraded": False,
    "earlier": [],
    "model": "ngram-4f1c2d9a7b30",
    "policy": "9c1e5a3f2b7d",
    "client": "3fa9c2e1b05d",
    "platform": "my-game",
    "community": "europe",
    "channel": "lobby",
    "revision": 0,
    "received_at": "2026-02-01T18:30:00.120000Z",
    "decided_at": "2026-02-01T18:30:00.123000Z",
    "attempts": 1,
    "seq": 7,
    "outcomes": [],
}
MODERATED: Final[dict[str, Any]] = {"results": [RESULT]}
REVIEW: Final[dict[str, Any]] = {
    "id": 7,
    "state": "open",
    "text": "…",
    "author": {"id": "u-17", "name": "Robin"},
    "result": RESULT | {"action": "hold"},
}
KEY: Final[dict[str, Any]] = {
    "id": "3fa9c2e1b05d",
    "name": "game server",
    "role": "client",
    "created_at": "2026-02-01T18:00:00Z",
}
TICKET: Final[dict[str, Any]] = {
    "ticket": "cmt_3fa9c2e1b05d.eyJhdXRob3IiOnsiaWQiOi….…",
    "expires_at": "2026-02-01T18:35:00Z",
    "name": "Robin",
}

MODERATIONS: Final[dict[str, Any]] = {"model": "omni-moderation-latest", "input": ["Hello!"]}
_CATEGORIES: Final = {
    "harassment": 0.0135,
    "harassment/threatening": 0.0012,
    "hate": 0.0015,
    "hate/threatening": 0.0012,
    "illicit": 0.0,
    "illicit/violent": 0.0,
    "self-harm": 0.0004,
    "self-harm/instructions": 0.0,
    "self-harm/intent": 0.0,
    "sexual": 0.0011,
    "sexual/minors": 0.0,
    "violence": 0.0012,
    "violence/graphic": 0.0,
}
MODERATIONS_ANSWERED: Final[dict[str, Any]] = {
    "id": "modr-5b1c0f6e2d9a4788c3e1b0d2",
    "model": "ngram-4f1c2d9a7b30",
    "results": [
        {
            "flagged": False,
            "categories": {name: None if name.startswith("illicit") else False for name in _CATEGORIES},
            "category_scores": _CATEGORIES,
            "category_applied_input_types": {name: ["text"] if score else [] for name, score in _CATEGORIES.items()},
        }
    ],
}
ANALYZE: Final[dict[str, Any]] = {
    "comment": {"text": "Hello! You fool."},
    "requestedAttributes": {"TOXICITY": {}},
    "languages": ["en"],
    "spanAnnotations": True,
    "doNotStore": True,
}
ANALYZED: Final[dict[str, Any]] = {
    "attributeScores": {
        "TOXICITY": {
            "spanScores": [
                {"begin": 0, "end": 6, "score": {"value": 0.0412, "type": "PROBABILITY"}},
                {"begin": 7, "end": 16, "score": {"value": 0.8731, "type": "PROBABILITY"}},
            ],
            "summaryScore": {"value": 0.8412, "type": "PROBABILITY"},
        }
    },
    "languages": ["en"],
    "detectedLanguages": ["en"],
}
SUGGEST: Final[dict[str, Any]] = {
    "comment": {"text": "Get busy living."},
    "attributeScores": {"TOXICITY": {"summaryScore": {"value": 0}}},
    "communityId": "movies",
    "clientToken": "comment-53922",
}
SUGGESTED: Final[dict[str, Any]] = {"clientToken": "comment-53922", "detectedLanguages": ["en"]}
