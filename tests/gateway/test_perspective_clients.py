"""Other people's clients for the Perspective API, unchanged."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chat_moderator.types import Role
from tests.gateway.clients import node
from tests.gateway.serving import Gateway
from tests.servers.google import GoogleProxy, google_at


@pytest.fixture
async def google(keyed: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GoogleProxy]:
    async with google_at(keyed.port, tmp_path) as proxy:
        for name, value in proxy.environment.items():
            monkeypatch.setenv(name, value)
        yield proxy


async def test_perspectiveapi_from_pypi(keyed: Gateway, google: GoogleProxy) -> None:
    from perspective import Attribute, Perspective  # type: ignore[import-untyped]  # noqa: PLC0415

    key, wanted = keyed.tokens[Role.CLIENT], [Attribute.TOXICITY, Attribute.THREAT]
    client = Perspective(key)
    score = await client.score("you are bad", wanted)
    assert (score.toxicity, score.threat, score.insult) == (0.95, 0.0, None)
    await client._Perspective__client.aclose()  # it has no way to end its connections by itself


async def test_pyperspective_from_pypi(keyed: Gateway, google: GoogleProxy) -> None:
    from PyPerspective.errors import InvalidAuthKey  # type: ignore[import-untyped]  # noqa: PLC0415
    from PyPerspective.Perspective import Perspective  # type: ignore[import-untyped]  # noqa: PLC0415

    def call() -> Any:
        return Perspective(keyed.tokens[Role.CLIENT]).get_score("you are bad", tests=["TOXICITY", "INSULT"])

    comment = await asyncio.to_thread(call)
    assert comment["TOXICITY"].score == 0.95
    assert str(comment["TOXICITY"][0]) == "you are bad"
    with pytest.raises(InvalidAuthKey):
        await asyncio.to_thread(Perspective, "AIzaWrong")


async def test_perspective_api_client_from_npm(keyed: Gateway, google: GoogleProxy) -> None:
    scored, below, refused = await node("perspective.cjs", {"KEY": keyed.tokens[Role.CLIENT], **google.old})
    assert scored["attributeScores"]["TOXICITY"]["summaryScore"]["value"] == 0.95
    assert set(scored["attributeScores"]) == {"TOXICITY", "INSULT"}
    assert set(below) == {"languages", "detectedLanguages"}
    assert refused["name"] == "ResponseError"
    assert refused["message"].startswith("Unknown requested attribute: UNKNOWN")


async def test_googles_own_client_discovers_both_methods(keyed: Gateway) -> None:
    from googleapiclient import discovery, errors  # type: ignore[import-untyped]  # noqa: PLC0415

    def call() -> Any:
        with discovery.build(
            "commentanalyzer",
            "v1alpha1",
            developerKey=keyed.tokens[Role.CLIENT],
            discoveryServiceUrl=f"{keyed.url}/$discovery/rest?version=v1alpha1",
            static_discovery=False,
        ) as client:
            body = {"comment": {"text": "you are bad"}, "requestedAttributes": {"TOXICITY": {}}, "languages": ["en"]}
            scored = client.comments().analyze(body=body).execute()
            suggested = {"comment": {"text": "x"}, "attributeScores": {"TOXICITY": {"summaryScore": {"value": 0}}}}
            echoed = client.comments().suggestscore(body=suggested | {"clientToken": "c"}).execute()
            with pytest.raises(errors.HttpError, match="does not support request languages: th") as refused:
                client.comments().analyze(body=body | {"languages": ["th"]}).execute()
            return scored, echoed, refused.value.error_details

    scored, echoed, details = await asyncio.to_thread(call)
    assert scored["attributeScores"]["TOXICITY"]["summaryScore"]["value"] == 0.95
    assert echoed["clientToken"] == "c"
    assert details[0]["errorType"] == "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"
