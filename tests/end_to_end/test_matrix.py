"""Matrix, whole: the real command, a real homeserver, and people with the real client library."""

from collections.abc import AsyncIterator
from pathlib import Path

import nio
import pytest

from chat_moderator.types import OutcomeState, Record, Verdict
from tests.end_to_end.platforms import BAD, GOOD, Moderated, until
from tests.servers.matrix import MatrixPlatform, matrix_server, person


@pytest.fixture
async def matrix() -> AsyncIterator[MatrixPlatform]:
    async with matrix_server() as server:
        yield server


def moderated(matrix: MatrixPlatform, directory: Path) -> Moderated:
    table = matrix.settings | {"type": "matrix", "name": "my-rooms", "token": "${MATRIX_TOKEN}", "enforce": True}
    return Moderated(directory, table, {"MATRIX_TOKEN": matrix.bot.token})


def outcomes(record: Record) -> dict[str, OutcomeState]:
    return {outcome.action: outcome.state for outcome in record.outcomes}


async def test_what_is_bad_disappears_and_what_is_good_stays(matrix: MatrixPlatform, tmp_path: Path) -> None:
    moderator = moderated(matrix, tmp_path)
    await moderator.start()
    await until(lambda: matrix.syncs > 1)
    room = matrix.rooms["general"]
    client = nio.AsyncClient(matrix.url, person("bea").id)
    client.access_token = matrix.member("bea", room).token
    sent = await client.room_send(room, "m.room.message", {"msgtype": "m.text", "body": GOOD})
    assert isinstance(sent, nio.RoomSendResponse)
    await client.close()
    told = len(matrix.told())
    await matrix.say(BAD)
    edited = await matrix.say("hello there")
    await until(lambda: matrix.texts() == [GOOD, "hello there"])
    await matrix.edit(edited, BAD)
    await until(lambda: matrix.texts() == [GOOD])
    await until(lambda: len(matrix.told()) == told + 2 and len(matrix.alerts()) == 2)
    assert "removed" in matrix.told()[-1]
    assert all("idiot" in alert and "ada" in alert for alert in matrix.alerts())

    # A moderator takes the first one back: it is shown again.
    seq = int(matrix.alerts()[0].partition("record ")[2].split()[0])
    await matrix.press(seq, approve=True)
    await until(lambda: any("idiot" in text for text in matrix.texts()))
    await moderator.stop()

    records = await moderator.records()
    verdicts = [record.decision.verdict for record in records]
    assert verdicts == [Verdict.ALLOW, Verdict.BLOCK, Verdict.ALLOW, Verdict.BLOCK]
    _, bad, _, second = records
    assert (bad.message.client, bad.message.platform, bad.message.author.name) == ("my-rooms", "matrix", "ada")
    assert bad.decision.rule
    assert second.message.id == edited
    assert second.message.revision > 0
    assert outcomes(second) == dict.fromkeys(("delete", "reply", "alert"), OutcomeState.DONE)
    assert outcomes(bad)["undo"] is OutcomeState.DONE
    assert matrix.bot.token not in (tmp_path / "stderr.log").read_text()


async def test_killed_between_decision_and_action_it_is_done_once(matrix: MatrixPlatform, tmp_path: Path) -> None:
    moderator = moderated(matrix, tmp_path)
    await moderator.start()
    await until(lambda: matrix.syncs > 1)
    matrix.hold_calls.clear()
    await matrix.say(BAD)
    await until(lambda: matrix.held > 0)  # decided, and the first call is on its way
    await moderator.kill()
    await matrix.say(GOOD)  # while nobody listens
    await matrix.say(BAD, author="bea")
    matrix.hold_calls.set()
    await moderator.start()
    await until(lambda: matrix.texts() == [GOOD])
    await until(lambda: sum("bea" in alert for alert in matrix.alerts()) == 1)
    await moderator.stop()
    records = await moderator.records()
    assert sorted(record.message.text for record in records) == sorted([BAD, GOOD, BAD])
    for record in records:
        if record.decision.verdict is Verdict.BLOCK:
            assert outcomes(record)["delete"] is OutcomeState.DONE
    assert sum("ada" in alert for alert in matrix.alerts()) <= 1
