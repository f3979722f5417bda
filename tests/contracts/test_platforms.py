"""Every platform keeps the contract, against a server that speaks its protocol."""

from collections.abc import AsyncIterator

import pytest

from chat_moderator import registry
from chat_moderator.testing.sources import CHECKS, Check, Platform
from tests.contracts.cases import PLATFORMS

OTHERS = {"replay", "webchat"}
"""Sources without a platform."""


def test_every_registered_platform_has_a_case() -> None:
    assert sorted({*PLATFORMS, *OTHERS}) == registry.names("source")


@pytest.fixture(params=sorted(PLATFORMS))
async def platform(request: pytest.FixtureRequest) -> AsyncIterator[Platform]:
    async with PLATFORMS[request.param]() as opened:
        yield opened


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_platform(check: Check, platform: Platform) -> None:
    await check(platform)
