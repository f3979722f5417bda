"""What README and docs show is true: commands run, answers are the real ones, settings load."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chat_moderator import config
from chat_moderator.app import build_cascade, build_policy
from chat_moderator.store.database import Database
from tests.docs.blocks import ROOT, Block, all_blocks, blocks, pages
from tests.running import Running, serving

LANGUAGES = {"console", "css", "html", "http", "js", "json", "mermaid", "python", "sh", "sql", "text", "toml"}
SHOWN = re.compile(r"make \w+|git clone|cd |sudo apt-get|\.ci/run|python -m training|python -m benchmarks")
"""Lines that build, fetch or take minutes: only their targets are checked."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("data")) as running:
        yield running


def test_every_block_says_what_it_is() -> None:
    unknown = [str(block) for page in pages() for block in blocks(page) if block.language not in LANGUAGES]
    assert unknown == []


@pytest.mark.parametrize("block", all_blocks("toml"), ids=str)
def test_settings_load(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "moderator.toml"
    path.write_text(block.text)
    names = set(re.findall(r"\$\{(\w+)\}", block.text))
    settings = config.read(path, dict.fromkeys(names, "x"))
    build_policy(settings)
    build_cascade(settings)


@pytest.mark.parametrize("block", all_blocks("python"), ids=str)
def test_python_runs(block: Block, tmp_path: Path, server: Running) -> None:
    code = server.address(block.text)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", all_blocks("sh"), ids=str)
def test_commands_run_and_answer_as_shown(block: Block, tmp_path: Path, server: Running) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", block.text, re.MULTILINE):
        assert f"\n{target}:" in makefile, f"{block}: there is no target {target}"
    lines = [line for line in block.text.splitlines() if not SHOWN.match(line)]
    if not "".join(lines).strip():
        return
    data = tmp_path / "data"  # where the commands look by themselves
    data.mkdir()
    Database(data).close()
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = server.address("set -e\n" + "\n".join(lines))
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode in {0, 1}, done.stderr
    following = [other for other in blocks(block.path) if other.line > block.line][:1]
    if following and following[0].language == "json":
        assert json.loads(done.stdout) == json.loads(following[0].text), "the page shows another answer"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in local if not (page.parent / target).exists()] == []
