"""Every registered action keeps the contract."""

from collections.abc import AsyncIterator

import pytest

from chat_moderator import registry
from chat_moderator.actions import alert
from chat_moderator.actions.alert import AlertAction
from chat_moderator.actions.delete import DeleteAction
from chat_moderator.actions.hold import HoldAction
from chat_moderator.actions.release import ReleaseAction
from chat_moderator.actions.reply import ReplyAction
from chat_moderator.actions.timeout import TimeoutAction
from chat_moderator.actions.undo import UndoAction
from chat_moderator.protocols import Action
from chat_moderator.testing.actions import CHECKS, Check
from tests.servers.receiver import receiving

PLAIN: dict[str, type[Action]] = {
    "delete": DeleteAction,
    "hold": HoldAction,
    "release": ReleaseAction,
    "reply": ReplyAction,
    "timeout": TimeoutAction,
    "undo": UndoAction,
}


def test_every_registered_action_has_a_case() -> None:
    assert sorted({*PLAIN, "alert"}) == registry.names("action")


@pytest.fixture(params=sorted({*PLAIN, "alert"}))
async def case(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Action, str]]:
    if request.param in PLAIN:
        yield PLAIN[request.param](), request.param
        return
    async with receiving() as receiver:
        action = AlertAction(alert.Config(url=receiver.url))
        yield action, "alert"
        await action.aclose()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_action(check: Check, case: tuple[Action, str]) -> None:
    await check(*case)
