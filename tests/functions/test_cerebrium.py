"""The Cerebrium app at the root, the folder that `init cerebrium` makes, and what the platform makes of them."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from chat_moderator.errors import ConfigError
from chat_moderator.functions.cerebrium import CerebriumFunction, defaults
from tests.cli.commands import command

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, dict[str, type | tuple[type, ...]]] = {
    "deployment": {
        "name": str,
        "python_version": str,
        "docker_base_image_url": str,
        "include": list,
        "exclude": list,
        "shell_commands": list,
        "pre_build_commands": list,
        "disable_auth": bool,
        "use_uv": bool,
        "deployment_initialization_timeout": int,
    },
    "hardware": {
        "cpu": float, "memory": float, "compute": str, "gpu_count": int, "provider": str, "region": str,
    },
    "scaling": {
        "min_replicas": int,
        "max_replicas": int,
        "cooldown": int,
        "replica_concurrency": int,
        "response_grace_period": int,
        "scaling_metric": str,
        "scaling_target": int,
        "scaling_buffer": int,
        "roll_out_duration_seconds": int,
        "evaluation_interval_seconds": int,
        "load_balancing_algorithm": str,
        "compute_tier": str,
    },
    "dependencies": {"pip": dict, "conda": dict, "apt": dict, "paths": dict},
}  # fmt: skip
"""Every key that the platform knows, with its type; it passes over all others."""
RUNTIME = {
    "entrypoint": list, "port": int, "healthcheck_endpoint": str, "readycheck_endpoint": str, "dockerfile_path": str,
}  # fmt: skip
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TOXICITY_THRESHOLD"}

CALL = """
import json, sys
import main
body = json.loads(sys.stdin.read())
print(json.dumps({"run_id": "1", "run_time_ms": 1.0, "result": main.run(**body)}))
"""
"""What the platform does with the body of a request."""


def called(body: Any, *, folder: Path = ROOT, **environment: str) -> Any:
    """The result of a call in a fresh interpreter."""
    given = json.dumps(body)
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd=folder, input=given, capture_output=True, text=True, check=False, env=ENVIRONMENT | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["result"]


def app_of(path: Path) -> dict[str, Any]:
    app: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))["cerebrium"]
    return app


@pytest.mark.parametrize("path", ["cerebrium.toml", "deploy/cerebrium/cerebrium.toml"])
def test_every_key_is_known_to_the_platform_and_none_is_left_out(path: str) -> None:
    app = app_of(ROOT / path)
    runtime = app.pop("runtime", {}).get("custom")
    app.pop("environment", None)
    assert {section: set(keys) for section, keys in app.items()} == {name: set(keys) for name, keys in SCHEMA.items()}
    for section, keys in SCHEMA.items():
        for key, kind in keys.items():
            assert isinstance(app[section][key], kind), f"{section}.{key}"
    assert set(app["dependencies"]["paths"]) == {"pip", "conda", "apt"}
    assert app["deployment"]["disable_auth"] is False
    if path != "cerebrium.toml":
        assert {key: type(value) for key, value in runtime.items()} == RUNTIME


def test_everything_that_the_app_needs_is_sent_and_nothing_else() -> None:
    deployment = app_of(ROOT / "cerebrium.toml")["deployment"]

    def matches(path: str, patterns: list[str]) -> bool:
        """As the platform's command does: `**` crosses folders, `*` does not."""
        return any(
            re.fullmatch(
                re.escape(each).replace(r"\*\*/", "(.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*"), path
            )
            for each in patterns
        )

    sent = {
        str(path.relative_to(ROOT))
        for place in (ROOT, ROOT / "src", ROOT / "tests")
        for path in (place.iterdir() if place == ROOT else place.rglob("*"))
        if path.is_file()
        and matches(str(path.relative_to(ROOT)), deployment["include"])
        and not matches(str(path.relative_to(ROOT)), deployment["exclude"])
    }
    assert {"main.py", "cerebrium.toml", "moderator.toml", "pyproject.toml", "README.md", "LICENSE", "NOTICE"} <= sent
    assert "src/chat_moderator/classifiers/weights/ngram.npz" in sent
    assert not [path for path in sent if "__pycache__" in path or "/." in path or path.startswith("tests")]


def test_the_documented_call_is_answered_in_a_fresh_interpreter() -> None:
    body = {"messages": [{"id": "1", "text": "Hello!"}, {"id": "2", "text": "Fuck"}]}
    answer = called(body)
    assert [(each["id"], each["action"]) for each in answer["results"]] == [("1", "allow"), ("2", "block")]
    assert answer["audited"] is False
    assert "status_code" not in answer


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello!"}, "messages"),
        ({"messages": [{"id": 1, "text": "x"}]}, "messages[0].id"),
        ({"messages": [{"id": "1"}]}, "messages[0]"),
        ({"messages": [{"id": "1", "text": "x"}, {"id": "2", "text": "a\0b"}]}, "messages[1].text"),
        ({"messages": [{"id": "\ud800", "text": "x"}]}, "messages[0].id"),
        ({"messages": [{"id": "1", "text": "x" * 20_001}]}, "messages[0].text"),
        ({"messages": [{"id": "1", "text": "x"}], "mesages": []}, ""),
    ],
)
def test_a_wrong_body_is_a_400_that_names_the_field(body: dict[str, Any], field: str, tmp_path: Path) -> None:
    answer = CerebriumFunction(tmp_path, {}).run(**body)
    assert (answer["status_code"], answer["title"], answer["field"]) == (400, "Bad Request", field)
    assert answer["detail"].endswith(".")


def test_the_threshold_of_the_toml_counts_and_a_secret_wins_over_it(tmp_path: Path) -> None:
    (tmp_path / "cerebrium.toml").write_text('[cerebrium.environment]\nTOXICITY_THRESHOLD = "0.0001"\n')
    body = {"messages": [{"id": "1", "text": "Hello!"}]}
    strict = CerebriumFunction(tmp_path, {}).run(**body)
    assert strict["results"][0]["action"] == "block"
    secret = CerebriumFunction(tmp_path, {"TOXICITY_THRESHOLD": "0.9"}).run(**body)
    assert secret["results"][0]["action"] == "allow"


def test_the_example_of_the_root_is_in_force() -> None:
    body = {"messages": [{"id": "1", "text": "Hello!"}]}
    assert defaults(ROOT / "cerebrium.toml") == {"TOXICITY_THRESHOLD": "0.1"}
    assert called(body)["results"][0]["policy"] == called(body, TOXICITY_THRESHOLD="0.1")["results"][0]["policy"]
    assert called(body)["results"][0]["policy"] != called(body, TOXICITY_THRESHOLD="0.8")["results"][0]["policy"]


def test_a_wrong_file_stops_the_deployment_and_says_where(tmp_path: Path) -> None:
    path = tmp_path / "cerebrium.toml"
    path.write_text("[cerebrium.environment]\nTOXICITY_THRESHOLD = [1]\n")
    with pytest.raises(ConfigError, match=r"cerebrium\.environment\.TOXICITY_THRESHOLD: a text or a number"):
        CerebriumFunction(tmp_path, {})
    path.write_text("[cerebrium")
    with pytest.raises(ConfigError, match="cannot be read"):
        CerebriumFunction(tmp_path, {})
    path.unlink()
    (tmp_path / "moderator.toml").write_text("[polcy]\n")
    with pytest.raises(ConfigError, match="polcy"):
        CerebriumFunction(tmp_path, {})
    with pytest.raises(ConfigError, match="elsewhere"):
        CerebriumFunction(tmp_path, {"CHAT_MODERATOR_CONFIG": str(tmp_path / "elsewhere.toml")})


def test_the_settings_of_the_folder_count(tmp_path: Path) -> None:
    (tmp_path / "moderator.toml").write_text("[communities.kids.policy]\nthreshold = 0.00001\n")
    function = CerebriumFunction(tmp_path, {})
    texts = [{"id": "1", "text": "Hello!"}, {"id": "2", "text": "Hello!", "community": "kids"}]
    assert [each["action"] for each in function.run(messages=texts)["results"]] == ["allow", "block"]


def test_init_makes_a_folder_that_works_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = command("init", "cerebrium", "my-app")
    assert (done.code, done.out) == (0, "my-app is made; deploy it: cd my-app && cerebrium deploy\n")
    folder = tmp_path / "my-app"
    app = app_of(folder / "cerebrium.toml")
    assert app["deployment"]["name"] == "my-app"
    assert {"numpy", "msgspec", "litestar"} <= set(app["dependencies"]["pip"])
    assert called({"messages": [{"id": "1", "text": "Fuck"}]}, folder=folder)["results"][0]["action"] == "block"
    assert (folder / "main.py").read_text() == (ROOT / "main.py").read_text()
    assert not list(folder.rglob("__pycache__"))[1:]  # the call above made its own
    assert "there is a my-app here already" in command("init", "cerebrium", "my-app").err


@pytest.mark.parametrize("name", ["", "My-App", "a/b", "..", "-a", "a" * 40, "ü", "a\n"])
def test_init_refuses_what_is_no_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = command("init", "cerebrium", "--", name)
    assert done.code == 2
    assert "is no name for an app" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_connection_takes_no_name_of_an_app() -> None:
    assert "only cerebrium takes one" in command("init", "discord", "my-app").err


def test_the_toml_of_the_root_is_the_one_that_init_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command("init", "cerebrium", "chat-moderator")
    made, own = app_of(tmp_path / "chat-moderator" / "cerebrium.toml"), app_of(ROOT / "cerebrium.toml")
    for app in (made, own):
        for key in ("include", "shell_commands"):
            del app["deployment"][key]
        del app["dependencies"]["pip"]
    assert made == own
