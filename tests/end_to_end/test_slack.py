"""Slack, whole: the real command, called by a server that speaks Slack's protocol."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat_moderator.types import OutcomeState, Verdict
from tests.end_to_end.platforms import BAD, GOOD, Moderated, until
from tests.servers.slack import SECRET, SlackPlatform, slack_server


@pytest.fixture
async def slack() -> AsyncIterator[SlackPlatform]:
    async with slack_server() as server:
        yield server


def moderated(slack: SlackPlatform, directory: Path) -> Moderated:
    secrets = {"token": "${SLACK_TOKEN}", "user_token": "${SLACK_USER_TOKEN}", "signing_secret": "${SLACK_SIGNING}"}
    environment = {"SLACK_TOKEN": slack.token, "SLACK_USER_TOKEN": slack.user_token, "SLACK_SIGNING": SECRET}
    return Moderated(directory, slack.settings | secrets | {"type": "slack", "enforce": True}, environment)


async def test_what_is_bad_disappears_also_after_a_kill(slack: SlackPlatform, tmp_path: Path) -> None:
    moderator = moderated(slack, tmp_path)
    slack.post_to(f"http://127.0.0.1:{moderator.port}/webhooks/slack")
    await moderator.start()
    await slack.say(GOOD, author="bea")
    await slack.say(BAD)
    edited = await slack.say("hello there")
    await until(lambda: slack.texts() == [GOOD, "hello there"])
    await slack.edit(edited, BAD)
    await until(lambda: slack.texts() == [GOOD])
    await until(lambda: len(slack.told()) == 2 and len(slack.alerts()) == 2)
    assert "removed" in slack.told()[0]
    assert slack.told("bea") == []

    # A moderator takes the first one back: it is shown again.
    seq = int(slack.alerts()[0].partition("record ")[2].split()[0])
    await slack.press(seq, approve=True)
    await until(lambda: any("idiot" in text for text in slack.texts()))
    assert "Approved by mia" in slack.alerts()[0]

    slack.hold_calls.clear()
    await slack.say(BAD, author="bea")
    await until(lambda: slack.held > 0)  # decided, and the first call is on its way
    await moderator.kill()
    await slack.say(BAD, author="eve")  # while nobody listens: Slack sends it again later
    slack.hold_calls.set()
    await moderator.start()
    await slack.flush()
    await until(lambda: sum("idiot" in text for text in slack.texts()) == 1)  # the one that was shown again
    await until(lambda: len(slack.told("eve")) == 1)
    await moderator.stop()

    assert slack.complaints == []
    records = await moderator.records()
    verdicts = [record.decision.verdict for record in records]
    assert verdicts == [Verdict.ALLOW, Verdict.BLOCK, Verdict.ALLOW, Verdict.BLOCK, Verdict.BLOCK, Verdict.BLOCK]
    assert records[3].message.id == edited
    assert records[1].message.author.name == "ada"
    for record in records:
        if record.decision.verdict is Verdict.BLOCK:
            assert record.decision.rule
            states = {outcome.action: outcome.state for outcome in record.outcomes}
            assert states["delete"] is OutcomeState.DONE
            assert set(states.values()) <= {OutcomeState.DONE, OutcomeState.UNCERTAIN}
    assert len(slack.told("bea")) <= 1
