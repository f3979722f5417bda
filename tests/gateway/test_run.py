import pytest

from chat_moderator.store.audit import RecordsAfter
from chat_moderator.types import Role
from tests.gateway.serving import Gateway, message


async def test_run_answers_one_result_a_message_in_the_same_order(gateway: Gateway) -> None:
    answer = await gateway.post("/run", {"messages": [message("2", "you are bad"), message("1", "Hello!")]})
    assert answer.status_code == 200
    blocked, allowed = answer.json()["results"]
    assert set(blocked) == {"id", "action", "score", "scores", "rule", "model", "policy"}
    assert (blocked["id"], blocked["action"], blocked["score"]) == ("2", "block", 0.95)
    assert (allowed["id"], allowed["action"]) == ("1", "allow")
    assert blocked["scores"]["toxicity"] == 0.95
    assert blocked["model"] == "words-1"


async def test_ids_of_run_only_correlate(gateway: Gateway) -> None:
    for text in ("hello", "bad", "hello"):
        answer = await gateway.post("/run", {"messages": [message("1", text), message("1", text)]})
        assert [result["id"] for result in answer.json()["results"]] == ["1", "1"]


async def test_the_answer_of_run_leaves_after_its_audit_rows_are_committed(keyed: Gateway) -> None:
    messages = [message(str(number), "bad" if number % 3 else "fine") for number in range(300)]
    answer = await keyed.post("/run", {"messages": messages}, **keyed.bearer(Role.CLIENT))
    records = await keyed.app.store.ask(RecordsAfter(seq=0, limit=1000))
    assert [record.message.id for record in records] == [result["id"] for result in answer.json()["results"]]
    assert {record.message.client for record in records} == {keyed.ids[Role.CLIENT]}


async def test_moderate_answers_with_every_detail(gateway: Gateway) -> None:
    body = message(
        "7",
        "so bad",
        platform="game",
        community="eu",
        channel="lobby",
        author={"id": "u1", "name": "Robin", "roles": ["vip"], "joined_at": "2020-01-01T00:00:00Z"},
        sent_at="2026-01-01T00:00:00Z",
        reply_to="6",
        language="de",
        revision=2,
    )
    answer = await gateway.post("/v1/moderate", {"messages": [body]})
    assert answer.status_code == 200
    (result,) = answer.json()["results"]
    assert result["action"] == "block"
    assert result["label"] == "toxicity"
    assert result["spans"] == [[3, 6, "toxicity"]]
    assert result["tier"] == "words"
    assert result["degraded"] is False
    assert result["client"] == "local"
    assert (result["platform"], result["community"], result["channel"], result["revision"]) == (
        "game",
        "eu",
        "lobby",
        2,
    )
    assert result["seq"] > 0
    assert result["decided_at"] >= result["received_at"]
    assert result["reply"]


async def test_an_empty_text_is_allowed_through(gateway: Gateway) -> None:
    answer = await gateway.post("/run", {"messages": [message("1", "")]})
    assert answer.json()["results"][0]["action"] == "allow"


async def test_experimental_labels_are_marked(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = await gateway.post("/run", {"messages": [message("1")]})
    assert "experimental" not in plain.json()
    monkeypatch.setattr(type(gateway.app.moderator.cascade), "experimental", ("spam",), raising=False)
    for path in ("/run", "/v1/moderate"):
        marked = await gateway.post(path, {"messages": [message("1")]})
        assert marked.json()["experimental"] == ["spam"]


async def test_a_classifier_that_fails_is_no_fault_of_the_caller_and_records_nothing(gateway: Gateway) -> None:
    answer = await gateway.post("/run", {"messages": [message("1", "poison")]})
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text
    assert await gateway.app.store.ask(RecordsAfter(seq=0, limit=10)) == []
