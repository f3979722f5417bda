"""Functions that keep their decisions in PostgreSQL."""

import asyncio
import json
import shutil
from contextlib import aclosing
from pathlib import Path

from chat_moderator.functions.cerebrium import CerebriumFunction
from chat_moderator.store.audit import RecordsAfter
from chat_moderator.store.outbox import OutboxDepth
from chat_moderator.store.postgres import Config, PostgresStore
from chat_moderator.testing.factories import make_message
from chat_moderator.types import Record
from tests.functions.test_aws_lambda import BODY, RECIPE, envelope, failed, record, url_call
from tests.servers import lambda_runtime
from tests.servers.postgres import PostgresServer

SETTINGS = """
[store]
type = "postgres"
url = "${{DATABASE_URL}}"
schema = "{schema}"
[functions.aws_lambda]
token = "run-token"
[[sources]]
type = "discord"
token = "x"
"""


def kept(settings: Config) -> tuple[list[Record], int]:
    """The audit, and how many actions wait."""

    async def read() -> tuple[list[Record], int]:
        async with aclosing(PostgresStore(settings)) as store:
            return await store.ask(RecordsAfter(seq=0, limit=100)), await store.ask(OutboxDepth())

    return asyncio.run(read())


def test_a_lambda_function_keeps_each_message_once(postgres: PostgresServer, tmp_path: Path) -> None:
    settings = postgres.settings()
    shutil.copy(RECIPE / "app.py", tmp_path)
    (tmp_path / "moderator.toml").write_text(SETTINGS.format(schema=settings.schema))
    first = record(
        "m1", envelope(make_message(id="a", text="hello"), make_message(id="b", client="discord", text="fuck"))
    )
    other = record("m2", envelope(make_message(id="a", text="another text")), group="other")
    with lambda_runtime.running(tmp_path, {"DATABASE_URL": settings.url}) as runtime:
        for _ in range(2):  # delivered twice
            assert failed(runtime.invoke({"Records": [first]})) == []
        assert failed(runtime.invoke({"Records": [first, other]})) == ["m2"]
        records, waiting = kept(settings)
        assert [each.message.id for each in records] == ["a", "b"]
        # What follows is left to the process that has the connection.
        assert waiting == len(records[1].decision.actions) > 0
        postgres.restart()
        answer = json.loads(runtime.invoke(url_call(BODY))["body"])
        assert answer["audited"] is True
    assert [each.message.id for each in kept(settings)[0]] == ["a", "b", "1", "2"]


def test_a_cerebrium_function_says_that_it_is_audited(postgres: PostgresServer, tmp_path: Path) -> None:
    settings = postgres.settings()
    (tmp_path / "moderator.toml").write_text(SETTINGS.format(schema=settings.schema))
    function = CerebriumFunction(tmp_path, {"DATABASE_URL": settings.url})
    answer = function.run(messages=[{"id": "1", "text": "Hello!"}])
    assert (answer["audited"], len(kept(settings)[0])) == (True, 1)


def test_what_cannot_be_kept_is_not_answered(postgres: PostgresServer, tmp_path: Path) -> None:
    (tmp_path / "moderator.toml").write_text(SETTINGS.format(schema="none"))
    function = CerebriumFunction(tmp_path, {"DATABASE_URL": postgres.url(database="nowhere")})
    assert function.run(messages=[{"id": "1", "text": "Hello!"}])["status_code"] == 503
