"""Every setting, metric and registered name is documented."""

import re

import msgspec
import pytest

from chat_moderator import registry
from chat_moderator.config import Settings
from chat_moderator.sinks.metrics import Metrics
from tests.docs.blocks import ROOT, pages

DOCUMENTED = "\n".join(page.read_text("utf-8") for page in pages())
EXAMPLE = (ROOT / "moderator.toml").read_text("utf-8")


def settings_of(kind: type, path: str = "") -> list[str]:
    found = []
    for field in msgspec.structs.fields(kind):
        name = f"{path}{field.name}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found += settings_of(field.type, f"{name}.")
        else:
            found.append(name)
    return found


@pytest.mark.parametrize("setting", settings_of(Settings))
def test_every_setting_stands_in_the_example(setting: str) -> None:
    table, _, key = setting.rpartition(".")
    assert re.search(rf"^#? ?{key} =|^#? ?\[+([\w.]+\.)?{key}[\].]", EXAMPLE, re.MULTILINE), setting
    assert not table or f"[{table}" in EXAMPLE


def test_every_metric_is_documented() -> None:
    names = {family.name for family in Metrics().registry.collect()}
    shown = DOCUMENTED.replace("`_leased`", "chat_moderator_queue_leased")
    shown = shown.replace("`_delayed`", "chat_moderator_queue_delayed")
    assert [name for name in sorted(names) if name not in shown] == []


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in registry.REGISTRY}))
def test_every_registered_name_is_documented(kind: str) -> None:
    missing = [name for name in registry.names(kind) if not re.search(rf"\b{name}\b", DOCUMENTED + EXAMPLE)]
    assert missing == []
