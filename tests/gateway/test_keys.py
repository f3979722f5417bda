from chat_moderator.types import Role
from tests.gateway.serving import Gateway, message


async def test_the_first_key_ends_the_open_door_and_works(gateway: Gateway) -> None:
    made = await gateway.post("/v1/keys", {"name": "ops", "role": "admin"})
    assert made.status_code == 201
    token = made.json()["token"]
    assert (await gateway.http.get("/v1/keys")).status_code == 401
    listed = await gateway.http.get("/v1/keys", headers={"authorization": f"Bearer {token}"})
    assert [key["name"] for key in listed.json()["keys"]] == ["ops"]
    assert token not in listed.text


async def test_a_key_that_is_not_there_cannot_be_revoked(keyed: Gateway) -> None:
    for key in ("nothing", "%00", "x" * 5000):
        assert (await keyed.http.delete(f"/v1/keys/{key}", headers=keyed.bearer(Role.ADMIN))).status_code == 404


async def test_keys_without_a_name_or_with_a_role_that_is_none_are_refused(gateway: Gateway) -> None:
    for body, field in (
        ({"name": "", "role": "client"}, "name"),
        ({"name": "x" * 101, "role": "client"}, "name"),
        ({"name": "x\0", "role": "client"}, "name"),
        ({"name": "x", "role": "root"}, "role"),
        ({"name": "x"}, "role"),
    ):
        answer = await gateway.post("/v1/keys", body)
        assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_an_erased_authors_words_are_gone(gateway: Gateway) -> None:
    said = message("1", "canary odd", author={"id": "u-17", "name": "Canary"})
    await gateway.post("/v1/moderate", {"messages": [said]})
    erased = await gateway.post("/v1/erase", {"author_id": "u-17"})
    assert erased.json() == {"erased": 1}
    reviews = await gateway.http.get("/v1/reviews")
    assert "anary" not in reviews.text
    assert (await gateway.post("/v1/erase", {"author_id": ""})).status_code == 400
