"""Nothing that a platform did not sign just now, as it signs, is taken in by any webhook."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from chat_moderator import registry
from chat_moderator.config import Settings, WebhookSettings
from chat_moderator.testing.doubles import JournalIntake
from chat_moderator.testing.webhooks import WebhookCase, keeps_the_window, vectors
from chat_moderator.types import now
from tests.contracts.cases import GENERIC, PLATFORMS, WEBHOOKS
from tests.gateway.serving import Gateway, gateway_on

Hooked = tuple[Gateway, WebhookCase, str]


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_every_webhook_has_a_case(name: str) -> None:
    assert hasattr(registry.load("source", name, path=""), "receive") is (name in WEBHOOKS)


CASES = [pytest.param((name, case), id=case.__name__) for name in sorted(WEBHOOKS) for case in WEBHOOKS[name]]


OTHERS = [pytest.param(("generic", case), id=case.__name__) for case in GENERIC]


@pytest.fixture(params=[*CASES, *OTHERS])
async def hooked(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Hooked]:
    name, kind = request.param
    case = kind()
    if name == "generic":
        async with gateway_on(tmp_path, Settings(webhooks=WebhookSettings(**case.settings))) as gateway:
            yield gateway, case, "/webhooks/generic"
        return
    async with PLATFORMS[name]() as platform:
        table = platform.settings | case.settings | {"type": name, "name": "hooked"}
        async with gateway_on(tmp_path, Settings(sources=(table,))) as gateway:
            yield gateway, case, "/webhooks/hooked"


async def deliver(hooked: Hooked, body: bytes, headers: dict[str, str]) -> httpx.Response:
    gateway, _, path = hooked
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return await gateway.http.post(path, content=body, headers=sent)


async def test_what_must_be_refused_is(hooked: Hooked) -> None:
    gateway, case, _ = hooked
    refused = vectors(case, now())
    assert len({vector.name for vector in refused}) == len(refused) >= 25
    wrong = {}
    for vector in refused:
        answer = await deliver(hooked, vector.body, vector.headers)
        if answer.status_code not in vector.statuses:
            wrong[vector.name] = answer.status_code
    assert wrong == {}
    assert await gateway.waiting() == 0
    assert gateway.classifier.answer.is_set() is False
    body = case.call()
    answer = await deliver(hooked, body, case.headers(body, now()))
    assert answer.is_success


@pytest.mark.parametrize("form", CASES)
async def test_the_window_is_five_minutes_either_way(form: tuple[str, Callable[[], WebhookCase]]) -> None:
    name, kind = form
    case = kind()
    async with PLATFORMS[name]() as platform:
        loaded, config = registry.configure("source", name, platform.settings | case.settings, path="sources[0]")
        source = loaded(config)
        await keeps_the_window(source, JournalIntake(), case)
        await source.aclose()


async def test_other_addresses_and_methods_lead_nowhere(hooked: Hooked) -> None:
    gateway, case, path = hooked
    body = case.call()
    headers = case.headers(body, now())
    assert (await gateway.http.post("/webhooks/another", content=body, headers=headers)).status_code == 404
    assert (await gateway.http.get(path, headers=headers)).status_code == 405
