"""IRC, whole: the real command, a real server, and people who are connected to it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chat_moderator.types import OutcomeState, Record, Verdict
from tests.end_to_end.platforms import BAD, GOOD, Moderated, until
from tests.servers.irc import PASSWORD, IrcPlatform, irc_server

ACTIONS = '[policy.actions]\nblock = ["delete", "timeout", "reply", "alert"]\nhold = ["hold", "alert"]\n'


@pytest.fixture
async def irc() -> AsyncIterator[IrcPlatform]:
    async with irc_server() as server:
        yield server


def moderated(irc: IrcPlatform, directory: Path, **more: Any) -> Moderated:
    table = irc.settings | {"type": "irc", "name": "my-net", "server_password": "${IRC_SERVER_PASSWORD}"}
    return Moderated(
        directory,
        table | {"enforce": True} | more,
        {"IRC_SERVER_PASSWORD": PASSWORD},
        actions=ACTIONS,
    )


def outcomes(record: Record) -> dict[str, OutcomeState]:
    return {outcome.action: outcome.state for outcome in record.outcomes}


async def test_what_is_bad_is_acted_on_and_what_is_good_stays(irc: IrcPlatform, tmp_path: Path) -> None:
    moderator = moderated(irc, tmp_path)
    await moderator.start()
    await until(irc.present)
    await irc.say(GOOD, author="bea")
    await irc.say(BAD)
    await until(lambda: irc.timed_out() == ["ada"])
    await until(lambda: len(irc.told()) == 1 and len(irc.alerts()) == 1)
    assert "removed" in irc.told()[0]
    assert irc.told("bea") == []
    assert all(part in irc.alerts()[0] for part in ("ada", "#general", "idiot"))
    assert (await moderator.health())["status"] == "ok"
    await irc.say("may I?")  # she may not: nobody sees it
    assert irc.texts() == [GOOD, BAD]

    # A moderator takes it back: she may write again.
    seq = int(irc.alerts()[0].partition("record ")[2].partition(":")[0])
    await irc.press(seq, approve=True)
    await until(lambda: irc.timed_out() == [])
    await until(lambda: any("Approved by mia" in text for text in irc.alerts()))
    await irc.say("thank you")
    assert irc.texts() == [GOOD, BAD, "thank you"]
    await moderator.stop()

    records = await moderator.records()
    verdicts = [record.decision.verdict for record in records]
    assert verdicts[:2] == [Verdict.ALLOW, Verdict.BLOCK]
    bad = records[1]
    assert (bad.message.client, bad.message.platform, bad.message.author.name) == ("my-net", "irc", "ada")
    assert (bad.message.community, bad.message.channel) == ("TestNet", "#general")
    assert bad.decision.rule
    found = outcomes(bad)
    assert found.pop("delete") is OutcomeState.SKIPPED
    assert found == dict.fromkeys(("timeout", "reply", "alert", "undo"), OutcomeState.DONE)
    reason = next(outcome.detail for outcome in bad.outcomes if outcome.action == "delete")
    assert "takes none back" in reason
    assert PASSWORD not in (tmp_path / "stderr.log").read_text()


async def test_killed_between_decision_and_action_it_is_done_once(irc: IrcPlatform, tmp_path: Path) -> None:
    moderator = moderated(irc, tmp_path, kick=True)
    await moderator.start()
    await until(irc.present)
    irc.hold_calls.clear()
    await irc.say(BAD)
    await until(lambda: irc.held > 0)  # decided, and the first call is on its way
    await moderator.kill()
    await irc.say("nobody hears this", author="eve")
    irc.hold_calls.set()
    await moderator.start()
    await until(lambda: irc.kicked() == ["ada"])
    await until(irc.present)
    await irc.say(BAD, author="bea")
    await until(lambda: irc.kicked() == ["ada", "bea"])
    await until(lambda: irc.timed_out() == ["ada", "bea"])
    await until(lambda: sum("bea" in alert for alert in irc.alerts()) == 1)
    await until(lambda: len(irc.told("bea")) == 1)
    await moderator.stop()
    records = await moderator.records()
    assert [record.message.text for record in records] == [BAD, BAD]
    for record in records:
        found = outcomes(record)
        assert (found["delete"], found["timeout"]) == (OutcomeState.DONE, OutcomeState.DONE)
    assert sum("ada" in alert for alert in irc.alerts()) <= 1
    assert "may have missed messages" in (tmp_path / "stderr.log").read_text()
