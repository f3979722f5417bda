from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Running, serving

IDLE = """
[worker]
parallel = 0
[[sinks]]
type = "jsonl"
path = "{directory}/decisions.jsonl"
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the example settings or a data directory of the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="package")
def idle_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that leaves its queue to others."""
    directory = tmp_path_factory.mktemp("served")
    settings = directory / "moderator.toml"
    settings.write_text(IDLE.format(directory=directory))
    with serving(directory, "--config", str(settings)) as running:
        yield running


@pytest.fixture(params=["alone", "served"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data directory that nobody serves, then one that a process serves."""
    if request.param == "served":
        directory: Path = request.getfixturevalue("idle_server").directory
        return directory
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "moderator.toml").write_text(IDLE.format(directory=directory))
    return directory
