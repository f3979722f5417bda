"""What an operator does to the data, beside a server and without one."""

import contextlib
import json
from pathlib import Path

import apsw
import msgspec
import pytest

from chat_moderator.cli import stores
from chat_moderator.cli.stores import use_store
from chat_moderator.store.keys import Authenticate
from chat_moderator.store.labels import Label, SuggestLabel
from chat_moderator.store.reviews import ListReviews, ReviewState
from chat_moderator.store.usage import AddUsage, Usage
from chat_moderator.testing.factories import make_message, make_record
from chat_moderator.types import Author, Role, now
from tests.cli.commands import Done, bury, command, hold, until
from tests.running import Running


def in_data(data: Path, *arguments: str, given: str | None = None) -> Done:
    return command(*arguments, "--data-dir", str(data), given=given)


def test_a_key_works_from_its_making_to_its_end(data: Path) -> None:
    made = in_data(data, "keys", "create", "my game", "--role", "moderator")
    assert made.code == 0
    token = made.out.strip()
    key = use_store(data, lambda store: store.ask(Authenticate(token=token)))
    assert key is not None
    assert (key.name, key.role) == ("my game", Role.MODERATOR)
    assert key.id in made.err
    listed = in_data(data, "keys", "list")
    assert key.id in listed.out
    assert token.split("_", 2)[2] not in listed.out
    assert in_data(data, "keys", "revoke", key.id).code == 0
    assert use_store(data, lambda store: store.ask(Authenticate(token=token))) is None
    (shown,) = [row for row in in_data(data, "keys", "list", "--json").objects if row["id"] == key.id]
    assert shown["role"] == "moderator"
    assert shown["revoked_at"] > shown["created_at"]


def test_what_is_not_there_is_said(data: Path) -> None:
    assert in_data(data, "keys", "revoke", "nope").err == "error: there is no key 'nope'\n"
    assert in_data(data, "reviews", "approve", "999999").err == "error: there is no review 999999\n"
    assert in_data(data, "dead-letters", "retry", "999999").err == "error: there is no dead letter 999999\n"
    assert in_data(data, "keys", "revoke", "nope").code == 2


def test_dead_letters_are_listed_put_back_and_dropped(data: Path) -> None:
    bury(data, "one")
    bury(data, "two")
    listed = in_data(data, "dead-letters", "list", "--json").objects
    assert [letter["message"]["text"] for letter in listed] == ["one", "two"]
    table = in_data(data, "dead-letters", "list").out
    assert r"no\nclassifier" in table
    assert in_data(data, "dead-letters", "list", "--after", str(listed[0]["id"]), "--limit", "1").out.count("two") == 1
    assert in_data(data, "dead-letters", "drop", str(listed[0]["id"])).out == "1 dropped\n"
    assert in_data(data, "dead-letters", "retry").out == "1 put back into the queue\n"
    assert in_data(data, "dead-letters", "list").out == "there are no dead letters\n"
    assert in_data(data, "dead-letters", "drop").out == "0 dropped\n"


def test_reviews_are_listed_and_resolved_once(data: Path) -> None:
    first, second = hold(data, "is this\x1b[2J ok"), hold(data, "and this")
    assert r"is this\x1b[2J ok" in in_data(data, "reviews", "list").out
    listed = in_data(data, "reviews", "list", "--json").objects
    assert [review["id"] for review in listed][-2:] == [first, second]
    assert in_data(data, "reviews", "approve", str(first)).out == f"review {first} is approved\n"
    assert in_data(data, "reviews", "deny", str(second)).out == f"review {second} is denied\n"
    again = in_data(data, "reviews", "deny", str(first))
    assert (again.code, again.err) == (2, f"error: review {first} is approved already\n")
    denied = use_store(data, lambda store: store.ask(ListReviews(state=ReviewState.DENIED)))
    assert denied[-1].reviewer
    assert str(second) in in_data(data, "reviews", "list", "--state", "denied").out
    assert "open, approved, denied" in in_data(data, "reviews", "list", "--state", "closed").err


def test_an_authors_texts_and_name_leave_every_file(data: Path) -> None:
    author, sink = Author("u-canary", "Canary Name"), data / "decisions.jsonl"
    hold(data, "canary text", author)
    served = (data / "moderator.sock").exists()
    if not served:  # no server writes the sink's file
        record = make_record(make_message("canary text", author=author))
        sink.write_bytes(msgspec.json.encode(record) + b"\n")
    until(lambda: b"canary text" in sink.read_bytes())
    assert kept_in(data, b"canary text") != []
    settings = str(data / "moderator.toml")
    assert in_data(data, "erase", "--author", author.id, "--config", settings, given="n\n").code == 2
    assert kept_in(data, b"canary text") != []
    done = in_data(data, "erase", "--author", author.id, "--config", settings, given="y\n")
    assert done.out.endswith("rows without text and name now: 1\n")
    assert served or str(sink) in done.err
    assert kept_in(data, b"canary text") == []
    assert kept_in(data, b"Canary Name") == []


def test_erasing_asks_and_takes_no_answer_for_no(data: Path) -> None:
    done = in_data(data, "erase", "--author", "u2", given="")
    assert (done.code, done.err.splitlines()[-1]) == (2, "error: not confirmed, nothing was changed")


def test_nobody_is_erased_without_an_id() -> None:
    assert command("erase", "--author", "", "--yes").err == "error: --author: an id is needed\n"


def test_a_backup_is_a_whole_database_and_overwrites_nothing(data: Path, tmp_path: Path) -> None:
    hold(data, "kept")
    target = tmp_path / "copy.db"
    assert command("backup", "copy.db", "--data-dir", str(data)).code == 0  # relative to the caller, not to the server
    with contextlib.closing(apsw.Connection(str(target))) as copy:
        assert [text for (text,) in copy.execute("SELECT text FROM audit ORDER BY seq")][-1] == "kept"
    again = in_data(data, "backup", str(target))
    assert (again.code, again.err) == (2, f"error: {target} exists: name a new file\n")
    nowhere = in_data(data, "backup", str(tmp_path / "no" / "copy.db"))
    assert nowhere.code == 2
    assert "cannot be written" in nowhere.err


def test_a_backup_is_put_in_place_only_while_nobody_serves(tmp_path: Path, idle_server: Running) -> None:
    before, backup = tmp_path / "before", tmp_path / "copy.db"
    before.mkdir()
    seq = hold(before, "kept")
    assert in_data(before, "backup", str(backup)).code == 0
    refused = in_data(idle_server.directory, "restore", str(backup))
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        f"error: data_dir: process {idle_server.process.pid} has {idle_server.directory}: stop it first\n"
    )
    after = tmp_path / "after"
    assert in_data(after, "restore", str(backup)).code == 0
    (review,) = in_data(after, "reviews", "list", "--json").objects
    assert (review["id"], review["record"]["message"]["text"]) == (seq, "kept")


@pytest.mark.parametrize("content", [b"", b"junk", b"SQLite format 3\0" + b"\0" * 84])
def test_a_file_that_is_no_backup_changes_nothing(tmp_path: Path, content: bytes) -> None:
    data, file = tmp_path / "data", tmp_path / "file"
    data.mkdir()
    seq = hold(data, "kept")
    file.write_bytes(content)
    done = in_data(data, "restore", str(file))
    assert done.code == 2
    assert done.err.startswith(f"error: restore: {file}")
    assert in_data(data, "reviews", "list", "--json").objects[0]["id"] == seq


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "list"),
        ("dead-letters", "list"),
        ("reviews", "list"),
        ("backup", "x.db"),
        ("erase", "--author", "u", "--yes"),
    ],
)
def test_a_directory_that_is_not_there_is_said_and_not_made(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = in_data(tmp_path / "typo", *arguments)
    assert (done.code, done.out) == (2, "")
    assert "typo is not a directory: create it, or name another with --data-dir" in done.err
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, "a\x1b[0m"])
def test_a_name_that_nobody_could_read_is_refused(name: str) -> None:
    assert command("keys", "create", "--", name).err == "error: NAME: must be one line of 1 to 100 characters\n"


def test_a_process_that_neither_serves_nor_ends_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PATIENCE", 0.2)
    with stores.sole_owner(tmp_path):
        done = in_data(tmp_path, "keys", "list")
    assert done.code == 2
    assert "is in use by another process" in done.err


def kept_in(data: Path, text: bytes) -> list[str]:
    """The files that hold a text."""
    files = [file for file in data.iterdir() if file.is_file()]
    return [file.name for file in files if text in file.read_bytes()]


def test_a_key_is_given_limits_and_shows_what_it_used(tmp_path: Path) -> None:
    data = tmp_path / "data"
    made = command("keys", "create", "game", "--rate", "5", "--quota", "1000", "--data-dir", str(data), "--json")
    key = made.objects[0]["key"]
    assert key["limits"] == {"rate": 5.0, "quota": 1000}
    listed = command("keys", "list", "--data-dir", str(data)).out
    assert "5/s" in listed
    assert "1,000/day" in listed
    limited = command("keys", "limit", key["id"], "--rate", "2", "--burst", "3", "--data-dir", str(data))
    assert "2 requests a second, 3 at once, and any number of texts" in limited.out
    assert command("keys", "limit", "nothing", "--data-dir", str(data)).code == 2
    assert "no key was used" in command("keys", "usage", "--data-dir", str(data)).out
    day = now().date().isoformat()
    use_store(data, lambda store: store.execute(AddUsage(usage=(Usage(key["id"], day, 3, 40, 1),))))
    assert command("keys", "usage", "--data-dir", str(data), "--json").objects == [
        {"key": key["id"], "day": day, "requests": 3, "texts": 40, "refused": 1}
    ]
    assert "game" in command("keys", "usage", "--data-dir", str(data)).out


def test_suggested_scores_are_exported_as_training_rows_and_dropped(tmp_path: Path) -> None:
    label = Label("get busy", {"toxicity": 0.0}, "k1", "movies", "comment:1", "en")
    use_store(tmp_path, lambda store: store.execute(SuggestLabel(label=label)))
    use_store(tmp_path, lambda store: store.execute(SuggestLabel(label=label)))
    file = tmp_path / "labels.jsonl"
    assert command("labels", "export", str(file), "--data-dir", str(tmp_path)).code == 0
    (row,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (row["text"], row["labels"], row["lang"]) == ("get busy", {"toxicity": 0.0}, "en")
    assert command("labels", "export", str(file), "--data-dir", str(tmp_path)).code == 2
    assert command("labels", "export", "-", "--data-dir", str(tmp_path)).objects == [row]
    assert "1 labels are dropped" in command("labels", "drop", "--through", "99", "--data-dir", str(tmp_path)).out
