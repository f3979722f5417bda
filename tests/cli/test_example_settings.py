"""The example, `moderator.toml`: whole, true, and the same as no file."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chat_moderator import config, registry
from chat_moderator.app import build_cascade, build_policy

EXAMPLE = Path(__file__).parents[2] / "moderator.toml"


def keys_of(kind: Any, path: str = "") -> list[str]:
    """Every key that a settings type has."""
    found = []
    for field in msgspec.structs.fields(kind):
        name = f"{path}.{field.name}".lstrip(".")
        inner = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        found += keys_of(field.type, name) if inner else [name]
    return found


def test_it_means_the_same_as_no_file() -> None:
    settings = config.read(EXAMPLE, {})
    queue = settings.queue | {"capacity": 1_000_000, "lease": 30.0}
    assert queue == settings.queue
    assert msgspec.structs.replace(settings, queue={"type": "embedded"}) == config.read(None, {})


def test_it_shows_every_key() -> None:
    text = EXAMPLE.read_text("utf-8")
    missing = [
        key
        for key in keys_of(config.Settings)
        if not re.search(rf"^#?({key.rpartition('.')[2]} = |\[+{key}\b)", text, re.MULTILINE)
    ]
    assert missing == []


def test_what_is_turned_off_works_when_it_is_turned_on(tmp_path: Path) -> None:
    lines = [line[1:] if re.match(r"#[^ \n]", line) else line for line in EXAMPLE.read_text("utf-8").splitlines()]
    path = tmp_path / "moderator.toml"
    path.write_text("\n".join(lines))
    settings = config.read(path, dict.fromkeys(re.findall(r"\$\{(\w+)\}", path.read_text()), "x"))
    build_policy(settings)
    build_cascade(settings)
    assert settings.policy.rules
    assert settings.communities
    tables = [("action", "alert", settings.actions["alert"], "actions.alert")]
    tables += [("sink", table["type"], table, f"sinks[{at}]") for at, table in enumerate(settings.sinks)]
    tables += [("source", table["type"], table, f"sources[{at}]") for at, table in enumerate(settings.sources)]
    tables += [("action", "timeout", settings.actions["timeout"], "actions.timeout")]
    tables += [("queue", settings.queue["type"], settings.queue, "queue")]
    for kind, name, table, place in tables:
        own = {key: value for key, value in table.items() if key != "type"}
        _, read = registry.configure(kind, name, own, path=place)
        assert set(own) == {field.name for field in msgspec.structs.fields(read)}, f"{place} lacks a key"


@pytest.mark.parametrize("name", ["jsonl", "webhook"])
def test_every_sink_is_shown(name: str) -> None:
    assert f'type = "{name}"' in EXAMPLE.read_text("utf-8")
