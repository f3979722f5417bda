"""Gateways with and without keys."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.serving import Gateway, gateway_on


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """Without any key: this machine is admin."""
    async with gateway_on(tmp_path) as running:
        yield running


@pytest.fixture
async def keyed(gateway: Gateway) -> Gateway:
    """With one key a role."""
    await gateway.make_keys()
    return gateway
