from chat_moderator.types import Role
from tests.gateway.serving import Gateway, message


async def hold(gateway: Gateway, **headers: str) -> int:
    answer = await gateway.post("/v1/moderate", {"messages": [message("1", "odd", author={"id": "u"})]}, **headers)
    (result,) = answer.json()["results"]
    assert result["action"] == "hold"
    return int(result["seq"])


async def test_what_is_held_is_listed_and_resolved_by_a_moderator(keyed: Gateway) -> None:
    review = await hold(keyed, **keyed.bearer(Role.CLIENT))
    moderator = keyed.bearer(Role.MODERATOR)
    listed = (await keyed.http.get("/v1/reviews", headers=moderator)).json()
    assert [(each["id"], each["text"], each["state"]) for each in listed["reviews"]] == [(review, "odd", "open")]
    assert listed["next"] == review
    read = await keyed.http.get(f"/v1/reviews/{review}", headers=moderator)
    assert read.json() == listed["reviews"][0]

    approved = await keyed.post(f"/v1/reviews/{review}", {"verdict": "approve"}, **moderator)
    assert (approved.status_code, approved.json()["state"]) == (200, "approved")
    assert approved.json()["reviewer"] == keyed.ids[Role.MODERATOR]
    again = await keyed.post(f"/v1/reviews/{review}", {"verdict": "approve"}, **moderator)
    assert again.status_code == 200
    other_way = await keyed.post(f"/v1/reviews/{review}", {"verdict": "deny"}, **moderator)
    assert other_way.status_code == 409

    assert (await keyed.http.get("/v1/reviews", headers=moderator)).json()["reviews"] == []
    done = await keyed.http.get("/v1/reviews", params={"state": "approved"}, headers=moderator)
    assert [each["id"] for each in done.json()["reviews"]] == [review]
    assert (await keyed.http.get(f"/v1/reviews/{review}", headers=moderator)).json()["state"] == "approved"


async def test_a_review_that_is_not_there_is_404(gateway: Gateway) -> None:
    await gateway.post("/run", {"messages": [message("1", "fine")]})
    for review in ("1", "2", "0", "-1", "x", "1.0", "\u0661", "99999999999999999999"):
        assert (await gateway.http.get(f"/v1/reviews/{review}")).status_code == 404
        assert (await gateway.post(f"/v1/reviews/{review}", {"verdict": "deny"})).status_code == 404


async def test_words_that_are_no_verdict_are_refused(gateway: Gateway) -> None:
    review = await hold(gateway)
    for body in ({"verdict": "allow"}, {"verdict": None}, {}, {"verdict": "deny", "more": 1}):
        assert (await gateway.post(f"/v1/reviews/{review}", body)).status_code == 400
    assert (await gateway.http.get("/v1/reviews", params={"state": "closed"})).status_code == 400
