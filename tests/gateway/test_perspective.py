"""Perspective's two methods, as those who wrote against Google's see them."""

import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat_moderator.config import ServerSettings, Settings
from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.labels import ListLabels
from chat_moderator.types import Role
from tests.gateway.serving import Gateway, gateway_on

ANALYZE = "/v1alpha1/comments:analyze"
SUGGEST = "/v1alpha1/comments:suggestscore"
PRODUCTION = ("TOXICITY", "SEVERE_TOXICITY", "IDENTITY_ATTACK", "INSULT", "PROFANITY", "THREAT")


async def ask(gateway: Gateway, body: Any, path: str = ANALYZE, **headers: str) -> httpx.Response:
    key = {"key": gateway.tokens[Role.CLIENT]}
    return await gateway.http.post(path, json=body, params=key, headers=headers)


def comment(text: str, *attributes: str, **more: Any) -> dict[str, Any]:
    return {
        "comment": {"text": text},
        "requestedAttributes": {name: {} for name in attributes or ("TOXICITY",)},
        **more,
    }


async def refusal(gateway: Gateway, body: Any, path: str = ANALYZE) -> dict[str, Any]:
    answer = await ask(gateway, body, path)
    error = answer.json()["error"]
    assert answer.headers["content-type"] == "application/json"
    assert error["code"] == answer.status_code == 400
    assert error["status"] == "INVALID_ARGUMENT"
    (first, *_) = error["details"]
    assert first["@type"] == "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"
    return {"message": error["message"], **first}


async def test_every_production_attribute_is_scored_in_googles_shape(keyed: Gateway) -> None:
    answer = await ask(keyed, comment("you are bad", *PRODUCTION, languages=["en"], clientToken="t-1"))
    assert answer.status_code == 200
    found = answer.json()
    assert set(found) == {"attributeScores", "languages", "detectedLanguages", "clientToken"}
    assert set(found["attributeScores"]) == set(PRODUCTION)
    assert (found["languages"], found["clientToken"]) == (["en"], "t-1")
    assert found["attributeScores"]["TOXICITY"] == {
        "spanScores": [{"begin": 0, "end": 11, "score": {"value": 0.95, "type": "PROBABILITY"}}],
        "summaryScore": {"value": 0.95, "type": "PROBABILITY"},
    }


@pytest.mark.parametrize("name", ["TOXICITY_EXPERIMENTAL", "TOXICITY_FAST", "SEXUALLY_EXPLICIT", "OBSCENE", "SPAM"])
async def test_experimental_attributes_with_evidence_are_scored(keyed: Gateway, name: str) -> None:
    answer = await ask(keyed, comment("you are bad", name))
    assert list(answer.json()["attributeScores"]) == [name]


@pytest.mark.parametrize(
    "name", ["FLIRTATION", "ATTACK_ON_AUTHOR", "toxicity", "", "TOXICITY@", "TOXICITY@x", "TOXICITY@7"]
)
async def test_attributes_and_versions_without_evidence_are_unknown(keyed: Gateway, name: str) -> None:
    error = await refusal(keyed, comment("you are bad", name))
    assert error["message"].startswith(f"Unknown requested attribute: {name}")
    assert error["errorType"] == "INVALID_REQUEST"


async def test_version_0_is_the_score_as_the_model_gives_it(keyed: Gateway) -> None:
    scores = (await ask(keyed, comment("you are bad", "TOXICITY@0", "INSULT@0"))).json()["attributeScores"]
    assert scores["TOXICITY@0"]["summaryScore"]["value"] == 0.95
    assert set(scores) == {"TOXICITY@0", "INSULT@0"}


async def test_nothing_is_answered_for_a_score_below_its_threshold(keyed: Gateway) -> None:
    body = comment("you are bad", languages=["en"])
    body["requestedAttributes"] = {"TOXICITY": {"scoreThreshold": 0.9}, "THREAT": {"scoreThreshold": 0.9}}
    assert list((await ask(keyed, body)).json()["attributeScores"]) == ["TOXICITY"]
    body["comment"]["text"] = "you are good"
    assert set((await ask(keyed, body)).json()) == {"languages", "detectedLanguages"}


async def test_sentences_have_scores_of_their_own_in_utf16_places(keyed: Gateway) -> None:
    text = "  Hi 😀 there! You are bad.\nReally? 👍🏽"
    answer = await ask(keyed, comment(text, spanAnnotations=True, languages=["en"]))
    wide = text.encode("utf-16-le")
    spans = answer.json()["attributeScores"]["TOXICITY"]["spanScores"]
    cut = [wide[2 * span["begin"] : 2 * span["end"]].decode("utf-16-le") for span in spans]
    assert cut == ["Hi 😀 there!", "You are bad.", "Really? 👍🏽"]
    assert [span["score"]["value"] for span in spans] == [0.0, 0.95, 0.0]


async def test_a_language_is_detected_where_none_is_given(keyed: Gateway) -> None:
    answer = (await ask(keyed, comment("Das ist doch wirklich eine sehr schöne Nachricht für uns alle"))).json()
    assert answer["languages"] == answer["detectedLanguages"] == ["de"]
    given = (await ask(keyed, comment("Das ist doch wirklich eine sehr schöne Nachricht", languages=["en"]))).json()
    assert (given["languages"], given["detectedLanguages"]) == (["en"], ["de"])


async def test_documented_errors_have_their_documented_types(keyed: Gateway) -> None:
    assert (await refusal(keyed, {}))["errorType"] == "COMMENT_EMPTY"
    assert (await refusal(keyed, comment(" \n ")))["message"] == "Comment must be non-empty."
    assert (await refusal(keyed, {"comment": {"text": "x"}}))["errorType"] == "NO_REQUESTED_ATTRIBUTES"
    assert (await refusal(keyed, comment("é" * 10_241)))["errorType"] == "COMMENT_TOO_LONG"
    assert (await ask(keyed, comment("é" * 10_240, languages=["fr"]))).status_code == 200
    assert (await refusal(keyed, comment("1 + 1 = 2 !!")))["errorType"] == "LANGUAGE_DETECTION_FAILED"
    html = comment("x") | {"comment": {"text": "<b>x</b>", "type": "HTML"}}
    assert (await refusal(keyed, html))["errorType"] == "INVALID_REQUEST"
    unknown = await refusal(keyed, comment("x", more=1))
    assert unknown["errorType"] == "INVALID_REQUEST"
    assert "more" in unknown["message"]
    percentile = comment("x") | {"requestedAttributes": {"TOXICITY": {"scoreType": "PERCENTILE"}}}
    assert (await refusal(keyed, percentile))["errorType"] == "INVALID_REQUEST"


async def test_a_language_that_nothing_here_was_trained_for_is_refused_or_dropped(keyed: Gateway) -> None:
    for body in (comment("สวัสดีครับทุกคน", "INSULT"), comment("hello", "INSULT", languages=["th"])):
        error = await refusal(keyed, body)
        assert error["errorType"] == "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"
        assert error["languageNotSupportedByAttributeError"] == {"detectedLanguages": ["th"], "attribute": "INSULT"}
        assert error["message"] == "Attribute INSULT does not support request languages: th"
        dropped = await ask(keyed, body | {"dropUnsupportedAttributes": True})
        assert dropped.status_code == 200
        assert "attributeScores" not in dropped.json()
    assert (await ask(keyed, comment("oi gente", languages=["pt-BR"]))).json()["languages"] == ["pt-BR"]


async def test_json_is_read_as_leniently_as_google_reads_it(keyed: Gateway) -> None:
    body = {
        "comment": {"text": "you are bad", "type": None},
        "requested_attributes": {
            "SEVERE_TOXICITY": None,
            "TOXICITY": {"score_threshold": "0.5", "score_type": "PROBABILITY"},
        },
        "languages": None,
        "do_not_store": True,
        "session_id": "s",
        "context": {"entries": [{"text": "before"}], "article_and_parent_comment": {"article": {"text": "x"}}},
    }
    answer = await ask(keyed, body | {"languages": ["en"]})
    assert list(answer.json()["attributeScores"]) == ["TOXICITY"]
    assert (await refusal(keyed, body | {"comment": {"text": "a\0b"}}))["errorType"] == "INVALID_REQUEST"


async def test_keys_come_in_the_query_in_googles_header_or_as_bearer(keyed: Gateway) -> None:
    token, body = keyed.tokens[Role.CLIENT], comment("bad", languages=["en"])
    for path, headers in (
        (f"{ANALYZE}?key={token}&alt=json&prettyPrint=false", {}),
        (ANALYZE, {"x-goog-api-key": token}),
        (ANALYZE, {"authorization": f"Bearer {token}"}),
    ):
        assert (await keyed.post(path, body, **headers)).status_code == 200, (path, headers)
    wrong = await keyed.post(f"{ANALYZE}?key=AIzaWrong", body)
    assert (wrong.status_code, wrong.json()["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    assert wrong.json()["error"]["message"] == "API key not valid. Please pass a valid API key."
    missing = await keyed.post(ANALYZE, body)
    assert (missing.status_code, missing.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    bearer = await keyed.post(ANALYZE, body, authorization="Bearer wrong")
    assert (bearer.status_code, bearer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert (await keyed.http.get("/v1/decisions", params={"key": token})).status_code == 401


async def test_other_refusals_have_googles_shape_too(keyed: Gateway) -> None:
    token = {"key": keyed.tokens[Role.CLIENT]}
    get = await keyed.http.get(ANALYZE, params=token)
    large = await keyed.http.post(
        ANALYZE, params=token, json=comment("x", context={"entries": [{"text": "x" * 3_000_000}]})
    )
    nothing = await keyed.http.post(ANALYZE, params=token)
    broken = await keyed.http.post(ANALYZE, params=token, content=b"{", headers={"content-type": "application/json"})
    poison = await keyed.http.post(ANALYZE, params=token, json=comment("poison", languages=["en"]))
    found = [(each.status_code, each.json()["error"]["status"]) for each in (get, large, nothing, broken, poison)]
    assert found == [
        (405, "UNIMPLEMENTED"),
        (413, "INVALID_ARGUMENT"),
        (400, "INVALID_ARGUMENT"),
        (400, "INVALID_ARGUMENT"),
        (503, "UNAVAILABLE"),
    ]


async def test_a_comment_that_is_not_to_be_stored_is_audited_without_its_text(keyed: Gateway) -> None:
    await ask(keyed, comment("canary bad", languages=["en"], doNotStore=True))
    await ask(keyed, comment("kept bad", languages=["en"], communityId="movies"))
    without, kept = await keyed.app.store.ask(RecordsAfter(seq=0, limit=10))
    assert (without.message.text, without.decision.verdict) == ("", "block")
    assert (kept.message.text, kept.message.community) == ("kept bad", "movies")
    assert without.message.client == keyed.ids[Role.CLIENT]


async def test_a_key_in_the_query_reaches_no_log(keyed: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await ask(keyed, comment("poison", languages=["en"]))
    assert caplog.text
    assert keyed.tokens[Role.CLIENT] not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("chat_moderator")
    )


async def test_a_suggested_score_is_kept_as_a_label(keyed: Gateway) -> None:
    body: dict[str, Any] = {
        "comment": {"text": "Get busy living."},
        "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}, "spanScores": [{"begin": 0, "end": 3}]}},
        "languages": ["en"],
        "communityId": "movies",
        "clientToken": "comment-1",
    }
    answer = await ask(keyed, body, SUGGEST)
    assert (answer.status_code, answer.json()["clientToken"]) == (200, "comment-1")
    body["attributeScores"] = {
        "TOXICITY": {"summaryScore": {"value": 0}},
        "PROFANITY": {"summaryScore": {"value": 0.5}},
    }
    await ask(keyed, body, SUGGEST)
    (label,) = await keyed.app.store.ask(ListLabels())
    assert (label.text, label.language, label.community) == ("Get busy living.", "en", "movies")
    assert label.scores == {"toxicity": 0.0, "obscene": 0.5}
    assert label.client == keyed.ids[Role.CLIENT]
    assert (await refusal(keyed, body | {"attributeScores": {}}, SUGGEST))["errorType"] == "NO_REQUESTED_ATTRIBUTES"
    body["attributeScores"] = {"TOXICITY": {"summaryScore": {"value": 1.5}}}
    assert (await refusal(keyed, body, SUGGEST))["errorType"] == "INVALID_REQUEST"


async def test_coral_finds_what_it_asks_for(keyed: Gateway) -> None:
    key = keyed.tokens[Role.CLIENT]
    endpoint = f"{keyed.url}/v1alpha1"  # what an administrator of Coral writes into "Custom endpoint"
    headers = {"content-type": "application/json", "accept": "application/json, text/plain, */*"}
    analyze = {
        "comment": {"text": "you are bad"},
        "doNotStore": True,
        "requestedAttributes": {"TOXICITY": {}},
        "languages": ["en"],  # what Coral says for every language that it does not know
    }
    answer = await keyed.http.post(
        f"{endpoint}/comments:analyze?key={key}", content=json.dumps(analyze), headers=headers, timeout=0.3
    )
    assert answer.json()["attributeScores"]["TOXICITY"]["summaryScore"]["value"] == 0.95
    entry = {"url": "https://news.example/story?commentID=c-1", "Coral_comment_id": "c-1"}
    suggest = {
        "comment": {"text": "you are bad"},
        "context": {"entries": [{"text": json.dumps(entry)}]},
        "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}}},
        "languages": ["en"],
        "communityId": "Coral:https://coral.example",
        "clientToken": "comment:c-1",
    }
    kept = await keyed.http.post(
        f"{endpoint}/comments:suggestscore?key={key}", content=json.dumps(suggest), headers=headers
    )
    assert kept.status_code == 200
    (label,) = await keyed.app.store.ask(ListLabels())
    assert (label.token, label.scores) == ("comment:c-1", {"toxicity": 1.0})


async def test_a_page_that_the_operator_names_may_call_from_a_browser(tmp_path: Path) -> None:
    settings = Settings(server=ServerSettings(origins=("https://forum.example.org",)))
    async with gateway_on(tmp_path, settings) as gateway:
        await gateway.make_keys()
        origin = {"origin": "https://forum.example.org"}
        asked = {
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type,x-stainless-os",
        }
        for path in (ANALYZE, "/v1/moderations"):
            preflight = await gateway.http.options(path, headers=origin | asked)
            assert preflight.headers["access-control-allow-origin"] == "https://forum.example.org", preflight.text
            assert "x-stainless-os" in preflight.headers["access-control-allow-headers"]
        answer = await ask(gateway, comment("bad", languages=["en"]), **origin)
        assert answer.headers["access-control-allow-origin"] == "https://forum.example.org"
        refused = await ask(gateway, {}, **origin)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (400, origin["origin"])


async def test_both_apis_answer_under_a_prefix_that_a_proxy_leaves(tmp_path: Path) -> None:
    prefix = "/v4/p-1a2b3c/chat-moderator"
    async with gateway_on(tmp_path, Settings(server=ServerSettings(prefix=prefix))) as gateway:
        await gateway.make_keys()
        for before in (prefix, ""):
            assert (await ask(gateway, comment("bad", languages=["en"]), before + ANALYZE)).status_code == 200
            moderated = await gateway.post(f"{before}/v1/moderations", {"input": "bad"}, **gateway.bearer(Role.CLIENT))
            assert moderated.json()["results"][0]["flagged"]
            wrong = await gateway.http.get(f"{before}{ANALYZE}", headers=gateway.bearer(Role.CLIENT))
            assert wrong.json()["error"]["status"] == "UNIMPLEMENTED"
        discovery = await gateway.http.get(f"{prefix}/$discovery/rest", params={"version": "v1alpha1"})
        assert discovery.json()["rootUrl"] == f"{gateway.url}{prefix}/"
