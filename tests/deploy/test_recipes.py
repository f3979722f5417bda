"""What is under deploy/ can be deployed: manifests keep their schemas, recipes their linter, settings load."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from chat_moderator import config, registry
from chat_moderator.store.migrations import LANES

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = "1.31"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
SCALERS = sorted((DEPLOY / "kubernetes" / "keda").glob("*.yaml"))
TRIGGERS = {
    "aws-sqs-queue": {"queueURL", "queueLength", "activationQueueLength", "scaleOnInFlight", "awsRegion"},
    "aws-cloudwatch": {
        "namespace", "dimensionName", "dimensionValue", "metricName", "metricStat", "metricStatPeriod",
        "metricCollectionTime", "targetMetricValue", "activationTargetMetricValue", "minMetricValue", "awsRegion",
    },
    "gcp-pubsub": {"subscriptionName", "mode", "value", "activationValue"},
    "kafka": {
        "bootstrapServers", "topic", "consumerGroup", "lagThreshold", "activationLagThreshold", "offsetResetPolicy",
    },
    "metrics-api": {"url", "format", "valueLocation", "targetValue", "activationTargetValue", "authMode"},
}  # fmt: skip
"""The triggers of KEDA that are used here, and every field that they have to have."""


def documents(path: Path) -> Iterator[Any]:
    yield from (each for each in yaml.safe_load_all(path.read_text("utf-8")) if each)


def everything(kind: str) -> list[Any]:
    return [each for path in MANIFESTS for each in documents(path) if each["kind"] == kind]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_keep_the_schema_of_kubernetes(path: Path) -> None:
    for each in documents(path):
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_nothing_runs_as_root_or_may_become_it() -> None:
    for deployment in everything("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"]["drop"] == ["ALL"]
            assert container["resources"]["limits"]["memory"]


def test_the_server_is_probed_and_every_deployment_has_a_disruption_budget() -> None:
    (server,) = [each for each in everything("Deployment") if each["metadata"]["name"] == "chat-moderator"]
    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    budgets = [each["spec"]["selector"]["matchLabels"] for each in everything("PodDisruptionBudget")]
    for each in everything("Deployment"):
        assert each["spec"]["template"]["metadata"]["labels"] in budgets


def test_every_queue_that_can_be_shared_has_a_scaler() -> None:
    assert [path.stem for path in SCALERS] == [
        name for name in registry.names("queue") if name not in {"embedded", "memory"}
    ]


@pytest.mark.parametrize("path", SCALERS, ids=lambda path: path.stem)
def test_scalers_go_to_zero_by_depth_and_age(path: Path) -> None:
    made = {each["kind"]: each for each in documents(path)}
    spec = made["ScaledObject"]["spec"]
    assert spec["scaleTargetRef"]["name"] in {each["metadata"]["name"] for each in everything("Deployment")}
    assert spec["minReplicaCount"] == 0
    assert spec["maxReplicaCount"] == LANES
    for trigger in spec["triggers"]:
        assert set(trigger) <= {"type", "metadata", "authenticationRef"}
        assert set(trigger["metadata"]) == TRIGGERS[trigger["type"]]
        assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA takes texts only"
        if "authenticationRef" in trigger:
            assert trigger["authenticationRef"]["name"] == made["TriggerAuthentication"]["metadata"]["name"]
    told = json.dumps(spec["triggers"])
    assert re.search(r"oldest_seconds|OldestUnackedMessageAge|ApproximateAgeOfOldestMessage", told), "no age"
    assert re.search(r"queue_waiting|NumUndeliveredMessages|queueLength|lagThreshold", told), "no depth"


def test_the_metrics_that_scale_are_there() -> None:
    from chat_moderator.sinks.metrics import Metrics  # noqa: PLC0415

    names = {family.name for family in Metrics().registry.collect()}
    used = {
        trigger["metadata"]["valueLocation"]
        for path in SCALERS
        for each in documents(path)
        for trigger in each["spec"].get("triggers", ())
        if trigger["type"] == "metrics-api"
    }
    assert used <= names


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("moderator.toml")), ids=lambda path: path.parent.name)
def test_settings_load(path: Path) -> None:
    names = set(re.findall(r"\$\{(\w+)\}", path.read_text("utf-8")))
    config.read(path, dict.fromkeys(names, "x"))


@pytest.mark.parametrize(
    "path", [ROOT / "Containerfile", *sorted(DEPLOY.rglob("Containerfile"))], ids=lambda path: path.parent.name
)
def test_container_recipes_keep_the_linter_and_do_not_end_as_root(path: Path) -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, "--no-color", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    text = path.read_text("utf-8")
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split()), source
    if "aws" not in str(path):  # Lambda runs what it is given as a user of its own
        assert re.search(r"^USER 65532:65532$", text, re.MULTILINE)
        assert text.count("\nFROM ") + text.startswith("FROM") == 2


def test_the_composition_holds_together() -> None:
    composed = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text("utf-8"))
    services = composed["services"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["user"] == "65532:65532"
        assert set(service.get("depends_on", {})) <= set(services)
        assert (DEPLOY / "compose" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert services["server"]["ports"] == ["127.0.0.1:8080:8080"]


@pytest.mark.parametrize("path", [DEPLOY / "aws-lambda" / "build", DEPLOY / "cloud-run" / "deploy"], ids=str)
def test_scripts_can_be_read_by_the_shell(path: Path) -> None:
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0


SERVING = ("discord", "litestar", "onnxruntime", "playwright", "pydantic", "torch", "uvicorn")
"""What a function has no use for, and what would make its start and its package large."""


def test_the_function_of_the_zip_loads_no_server(tmp_path: Path) -> None:
    (tmp_path / "moderator.toml").write_text(
        '[[policy.rules]]\nname = "links"\nwhen = \'text.links > 0\'\nverdict = "hold"\n'
        '[[sinks]]\ntype = "webhook"\nurl = "http://127.0.0.1:9/"\n'
    )
    code = f"""
import os, sys
from pathlib import Path
sys.modules |= dict.fromkeys({SERVING!r})  # an import of one of them fails
from chat_moderator.functions.aws_lambda import LambdaFunction
told = LambdaFunction(Path("."), os.environ)({{"messages": [{{"id": "1", "text": "hello"}}]}}, None)
print(told.get("status_code"))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    # The sink of these settings is nobody's, so that the decision cannot be told: the function came that far.
    assert (done.returncode, done.stdout) == (0, "503\n"), done.stderr
