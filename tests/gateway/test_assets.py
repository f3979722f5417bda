"""What pages load: open to all, and nothing secret in it."""

from pathlib import Path

from chat_moderator.config import ServerSettings, Settings
from tests.gateway.serving import Gateway, gateway_on


async def test_the_client_and_the_widget_are_served_to_pages_of_other_sites(keyed: Gateway) -> None:
    for path in ("/client.js", "/widget.js"):
        answer = await keyed.http.get(path, headers={"x-forwarded-for": "203.0.113.9"})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert len((await keyed.http.get("/client.js")).content) <= 2048


async def test_only_pages_that_the_settings_name_may_frame_the_chat_or_import_the_client(tmp_path: Path) -> None:
    site = "https://chat.example.org"
    async with gateway_on(tmp_path, Settings(server=ServerSettings(origins=(site,)))) as gateway:
        policy = (await gateway.http.get("/chat")).headers["content-security-policy"]
        assert policy.endswith(f"frame-ancestors {site}")
        allowed = await gateway.http.get("/client.js", headers={"origin": site})
        assert allowed.headers["access-control-allow-origin"] == site
        assert "retry-after" in allowed.headers["access-control-expose-headers"].lower()
        foreign = await gateway.http.get("/client.js", headers={"origin": "https://example.com"})
        assert foreign.status_code == 403


async def test_where_no_page_is_named_none_may_frame_the_chat(gateway: Gateway) -> None:
    assert "frame-ancestors 'none'" in (await gateway.http.get("/chat")).headers["content-security-policy"]
