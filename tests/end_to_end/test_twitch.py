"""Twitch, whole: the real command, which connects to a server that speaks EventSub and Helix, or is called by it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chat_moderator.types import OutcomeState, Record, Verdict
from tests.end_to_end.platforms import BAD, GOOD, Moderated, until
from tests.servers.twitch import CLIENT_SECRET, SECRET, TwitchPlatform, twitch_server

SECRETS = ("client_secret", "token", "refresh_token")


@pytest.fixture
async def twitch() -> AsyncIterator[TwitchPlatform]:
    async with twitch_server() as server:
        yield server


def moderated(twitch: TwitchPlatform, directory: Path, **more: Any) -> Moderated:
    environment = {f"TWITCH_{key}".upper(): str(twitch.settings[key]) for key in SECRETS}
    named = {key: f"${{{f'TWITCH_{key}'.upper()}}}" for key in SECRETS}
    return Moderated(directory, twitch.settings | named | {"type": "twitch", "enforce": True} | more, environment)


async def stopped(moderator: Moderated, twitch: TwitchPlatform) -> list[Record]:
    """The audit, once what an end-to-end test always wants was seen."""
    await moderator.stop()
    assert twitch.complaints == []
    assert twitch.early == []
    logged = (moderator.directory / "stderr.log").read_text()
    assert not any(secret in logged for secret in (CLIENT_SECRET, twitch.token, twitch.refresh_token, SECRET))
    records = await moderator.records()
    for record in records:
        if record.decision.verdict is Verdict.BLOCK:
            states = {outcome.action: outcome.state for outcome in record.outcomes}
            assert record.decision.rule
            assert states["delete"] is OutcomeState.DONE
            assert set(states.values()) <= {OutcomeState.DONE, OutcomeState.UNCERTAIN}
    return records


async def test_what_is_bad_disappears_also_after_a_kill(twitch: TwitchPlatform, tmp_path: Path) -> None:
    moderator = moderated(twitch, tmp_path)
    await moderator.start()
    await until(lambda: len(twitch.subscriptions) == 5)
    await twitch.say(GOOD, author="bea")
    await twitch.say(BAD)
    await until(lambda: twitch.texts() == [GOOD])
    await until(lambda: len(twitch.told()) == 1 and len(twitch.alerts()) == 1)
    assert "removed" in twitch.told()[0]
    assert twitch.told("bea") == []
    assert "ada" in twitch.alerts()[0]
    assert (await moderator.health())["status"] == "ok"

    # AutoMod's held messages get our verdict.
    await twitch.hold("good game", author="bea")
    await twitch.hold(BAD, author="eve")
    await until(lambda: sorted(twitch.automod) == [("ALLOW", "good game"), ("DENY", BAD)])
    assert twitch.texts() == [GOOD, "good game"]

    # A moderator takes the first one back: it is shown again.
    seq = int(twitch.alerts()[0].partition("record ")[2].split()[0])
    await twitch.press(seq, approve=True)
    await until(lambda: any("idiot" in text for text in twitch.texts()))
    await until(lambda: any("Approved by mia" in text for text in twitch.alerts()))

    twitch.hold_calls.clear()
    await twitch.say(BAD, author="bea")
    await until(lambda: twitch.held > 0)  # decided, and the first call is on its way
    await moderator.kill()
    await twitch.say("nobody hears this", author="eve")
    twitch.hold_calls.set()
    await moderator.start()
    await until(lambda: len(twitch.subscriptions) == 5)
    await until(lambda: sum("idiot" in text for text in twitch.texts()) == 1)  # the one that was shown again
    await twitch.say(BAD, author="eve")
    await until(lambda: len(twitch.told("eve")) == 2)
    await until(lambda: sum("idiot" in text for text in twitch.texts()) == 1)

    records = await stopped(moderator, twitch)
    verdicts = [record.decision.verdict for record in records]
    assert verdicts.count(Verdict.BLOCK) == 4
    assert len(records) == 6
    assert len(twitch.told("bea")) <= 1
    assert "may have missed messages" in (tmp_path / "stderr.log").read_text()


async def test_by_webhook_too(twitch: TwitchPlatform, tmp_path: Path) -> None:
    more = {"webhook": "https://chat.example.com/webhooks/twitch", "webhook_secret": SECRET, "automod": False}
    moderator = moderated(twitch, tmp_path, **more)
    twitch.post_to(f"http://127.0.0.1:{moderator.port}/webhooks/twitch")
    await moderator.start()
    await until(lambda: len(twitch.subscriptions) == 3)
    await twitch.say(GOOD, author="bea")
    await twitch.say(BAD)
    await until(lambda: twitch.texts() == [GOOD] and len(twitch.alerts()) == 1)
    await moderator.kill()
    await twitch.say(BAD, author="eve")  # it is sent again later
    assert twitch.pending
    await moderator.start()
    await twitch.flush()
    await until(lambda: twitch.texts() == [GOOD] and len(twitch.alerts()) == 2)
    assert len(await stopped(moderator, twitch)) == 3
