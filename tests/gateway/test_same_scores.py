"""One text has one score and one verdict, whichever door it comes through and whatever comes with it."""

import asyncio
from pathlib import Path

import httpx

from chat_moderator.app import App
from chat_moderator.classifiers.perspective_scale import Scale, Scales
from chat_moderator.config import Settings
from chat_moderator.functions.cerebrium import CerebriumFunction
from chat_moderator.gateway.gateway import create_gateway
from chat_moderator.gateway.server import Server, bind
from tests.cli.commands import command

TEXTS = (
    "Hello everyone, good luck and have fun",
    "You are a pathetic idiot and nobody wants you here",
    "I will find you and kill you",
    "buy cheap coins at http://example.org now!!!",
    "F u c k this",
    "你真是个白痴",
)


async def test_scores_and_verdicts_are_the_same_through_every_door(tmp_path: Path) -> None:
    alone = [command("moderate", text, "--json").objects[0] for text in TEXTS]
    (tmp_path / "function").mkdir()
    function = CerebriumFunction(tmp_path / "function", {})
    called = [{"id": str(number), "text": text} for number, text in enumerate(TEXTS)]
    served = (await asyncio.to_thread(function.run, messages=called[::-1]))["results"][::-1]
    app = App(Settings(), tmp_path)
    server = Server(create_gateway(app))
    listener = bind("127.0.0.1", 0)
    await app.start()
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as http:
            messages = [{"id": str(number), "text": text} for number, text in enumerate(TEXTS)]
            brief = (await http.post("/run", json={"messages": messages})).json()["results"]
            whole = (await http.post("/v1/moderate", json={"messages": messages[::-1]})).json()["results"][::-1]
            openai = (await http.post("/v1/moderations", json={"input": list(TEXTS)})).json()["results"]
            names = {
                "TOXICITY@0": "toxicity",
                "INSULT": "insult",
                "THREAT": "threat",
                "SPAM": "spam",
                "PROFANITY": "obscene",
            }
            perspective = []
            for text in TEXTS:
                body = {
                    "comment": {"text": text},
                    "requestedAttributes": {name: {} for name in (*names, "TOXICITY")},
                    "languages": ["en"],
                }
                answer = await http.post("/v1alpha1/comments:analyze", json=body)
                perspective.append(
                    {name: each["summaryScore"]["value"] for name, each in answer.json()["attributeScores"].items()}
                )
        assessments = app.moderator.cascade.assess(TEXTS)
        scales = Scales(app.moderator.cascade.version)
        scaled = scales.values("toxicity", scales.latest, TEXTS, assessments)
    finally:
        server.should_exit = True
        await running
        await app.stop()
    for index, expected in enumerate(alone):
        scores = expected["scores"]
        for result in (brief[index], whole[index], served[index]):
            assert (result["scores"], result["action"]) == (scores, expected["action"])
        assert openai[index]["flagged"] is (expected["action"] != "allow")
        assert openai[index]["category_scores"]["harassment"] == max(scores["toxicity"], scores["insult"])
        assert openai[index]["category_scores"]["violence"] == scores["threat"]
        assert {name: perspective[index][name] for name in names} == {
            name: scores[label] for name, label in names.items()
        }
        assert perspective[index]["TOXICITY"] == scaled[index]


def test_a_model_without_a_scale_gives_its_scores_as_they_are(tmp_path: Path) -> None:
    app_scores = Scales("some-other-model")
    assert app_scores.latest == 0


def test_the_shipped_scale_rises_with_the_scores_of_the_model() -> None:
    from chat_moderator.classifiers.perspective_scale import FOLDER  # noqa: PLC0415
    from chat_moderator.types import LABELS, Assessment  # noqa: PLC0415

    (scale,) = [Scale(path) for path in sorted(FOLDER.glob("*.npz"))]
    values = [
        scale.values(["what do you mean"], [Assessment(dict.fromkeys(LABELS, 0.01) | {"toxicity": score}, "t", "m")])[0]
        for score in (0.0, 0.1, 0.5, 0.9, 1.0)
    ]
    assert values == sorted(values)
    assert all(0 <= value <= 1 for value in values)
    assert values == [round(value, 4) for value in values]
