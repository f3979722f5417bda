"""Telegram, whole: the real command, which polls a server that speaks the Bot API or is called by it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat_moderator.types import OutcomeState, Record, Verdict
from tests.end_to_end.platforms import BAD, GOOD, Moderated, until
from tests.servers.telegram import SECRET, TOKEN, TelegramPlatform, headers, telegram_server


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramPlatform]:
    async with telegram_server() as server:
        yield server


def moderated(telegram: TelegramPlatform, directory: Path, **more: Any) -> Moderated:
    table = telegram.settings | {"type": "telegram", "token": "${TELEGRAM_TOKEN}", "enforce": True} | more
    return Moderated(directory, table, {"TELEGRAM_TOKEN": TOKEN})


async def stopped(moderator: Moderated, telegram: TelegramPlatform) -> list[Record]:
    """The audit, once what an end-to-end test always wants was seen."""
    await moderator.stop()
    assert telegram.complaints == []
    assert telegram.early == []
    assert TOKEN not in (moderator.directory / "stderr.log").read_text()
    records = await moderator.records()
    for record in records:
        if record.decision.verdict is Verdict.BLOCK:
            states = {outcome.action: outcome.state for outcome in record.outcomes}
            assert record.decision.rule
            assert states["delete"] is OutcomeState.DONE
            assert set(states.values()) <= {OutcomeState.DONE, OutcomeState.UNCERTAIN}
    return records


async def test_what_is_bad_disappears_also_after_a_kill(telegram: TelegramPlatform, tmp_path: Path) -> None:
    moderator = moderated(telegram, tmp_path)
    await moderator.start()
    await telegram.say(GOOD, author="bea")
    await telegram.say(BAD)
    edited = await telegram.say("hello there")
    await until(lambda: telegram.texts() == [GOOD, "hello there"])
    await telegram.edit(edited, BAD)
    await until(lambda: telegram.texts() == [GOOD])
    await until(lambda: len(telegram.told()) == 2 and len(telegram.alerts()) == 2)
    assert "removed" in telegram.told()[0]
    assert telegram.told("bea") == []
    assert (await moderator.health())["status"] == "ok"

    # A moderator takes the first one back: it is shown again.
    seq = int(telegram.alerts()[0].partition("record ")[2].split()[0])
    await telegram.press(seq, approve=True)
    await until(lambda: any("idiot" in text for text in telegram.texts()))
    await until(lambda: "Approved by mia" in telegram.alerts()[0])

    telegram.hold_calls.clear()
    await telegram.say(BAD, author="bea")
    await until(lambda: telegram.held > 0)  # decided, and the first call is on its way
    await moderator.kill()
    await telegram.say(BAD, author="eve")  # while nobody polls: Telegram keeps it
    telegram.hold_calls.set()
    await moderator.start()
    await until(lambda: sum("idiot" in text for text in telegram.texts()) == 1)  # the one that was shown again
    await until(lambda: len(telegram.told("eve")) == 1)

    records = await stopped(moderator, telegram)
    verdicts = [record.decision.verdict for record in records]
    assert verdicts == [Verdict.ALLOW, Verdict.BLOCK, Verdict.ALLOW, Verdict.BLOCK, Verdict.BLOCK, Verdict.BLOCK]
    assert records[3].message.id == edited
    assert records[1].message.author.name == "ada"
    assert len(telegram.told("bea")) <= 1


async def test_by_webhook_too(telegram: TelegramPlatform, tmp_path: Path) -> None:
    address = "https://chat.example.com/webhooks/telegram"
    moderator = moderated(telegram, tmp_path, webhook=address, webhook_secret=SECRET)
    telegram.post_to(f"http://127.0.0.1:{moderator.port}/webhooks/telegram")
    await moderator.start()
    await until(lambda: telegram.webhook.get("url") == address)
    await telegram.say(GOOD, author="bea")
    await telegram.say(BAD)
    await until(lambda: telegram.texts() == [GOOD] and len(telegram.alerts()) == 1)

    # Fifty copies at once are one message, and one deletion.
    deliver, telegram.deliver = telegram.deliver, None
    doubled = await telegram.say(BAD, author="zoe")
    body, url = json.dumps(telegram.updates.pop()).encode(), f"http://127.0.0.1:{moderator.port}/webhooks/telegram"
    async with httpx.AsyncClient() as client:
        copies = [client.post(url, content=body, headers=headers(SECRET)) for _ in range(50)]
        assert {answer.status_code for answer in await asyncio.gather(*copies)} == {200}
    await until(lambda: telegram.texts() == [GOOD] and len(telegram.alerts()) == 2)
    assert [call.get("message_id") for _, name, call in telegram.calls if name == "deleteMessage"].count(doubled) == 1
    telegram.deliver = deliver

    await moderator.kill()
    await telegram.say(BAD, author="eve")  # it is sent again later
    assert len(telegram.updates) == 1
    await moderator.start()
    await telegram.repeat()
    await telegram.flush()
    await until(lambda: telegram.texts() == [GOOD] and len(telegram.alerts()) == 3)
    assert len(await stopped(moderator, telegram)) == 4
