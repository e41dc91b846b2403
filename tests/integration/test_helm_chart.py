"""The Helm chart: Kubernetes, KEDA and the Prometheus operator take it, and streamapp does."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from streamapp.cli.environment import unknown_settings
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.workers import AFTER_DRAIN_SECONDS
from streamapp.clock import SystemClock
from streamapp.settings import KafkaSettings
from streamapp.supervisor.answers import WorkersPort
from streamapp.supervisor.view import WorkersView
from streamapp.web.access import LOOPBACK, Access, checked_host
from streamapp.web.access import PROBES as PROBED
from streamapp.web.server import WorkerView
from tests.cli import ROOT, streamapp
from tests.helm import helm, refusal, rendered

Manifest = dict[str, Any]

SCHEMAS = json.loads((ROOT / "tests" / "schemas" / "kubernetes.json").read_text())
NOBODY = "127.0.0.1:1"
SASL = {"securityProtocol": "SASL_SSL", "saslMechanism": "SCRAM-SHA-512"}
OAUTH = {"securityProtocol": "SASL_SSL", "saslMechanism": "OAUTHBEARER"}
ENDPOINT = {"tokenUrl": "https://login.example/token", "scope": "kafka"}
LAG = [{"group": "orders.price", "topic": "orders.raw", "threshold": 50_000}]
SCALING = {"enabled": True, "lag": LAG}
ALL_KEYS = {"caKey": "ca.crt", "certKey": "tls.crt", "keyKey": "tls.key"}


def values(kafka: Manifest | None = None, **changes: Any) -> Manifest:
    """Values with all that is required."""
    secret = {"name": "kafka"}
    return {
        "image": {"repository": "registry.example/shop", "tag": "1.4.0"},
        "pipeline": "streamapp.examples.playback.pipeline:pipeline",
        "kafka": {"bootstrapServers": "kafka:9093", "secret": secret, **SASL, **(kafka or {})},
        **changes,
    }


VARIANTS = {
    "deployment": values(),
    "stateful set": values(kind="StatefulSet"),
    "in clear": values({"securityProtocol": "PLAINTEXT", "secret": {}}),
    "certificates": values({"securityProtocol": "SSL", "secret": {"name": "k", **ALL_KEYS}}),
    "everything secret": values({"secret": {"name": "k", **ALL_KEYS}}, applyTopics=True),
    "client credentials": values({**OAUTH, "oauth": ENDPOINT}, autoscaling=SCALING),
    "projected token": values({**OAUTH, "oauth": {"audience": "kafka"}, "secret": {}}),
    "autoscaling": values(autoscaling={**SCALING, "fallbackReplicas": 4}),
    "closed": values(web={"open": False}),
    "token": values(
        web={"token": {"secret": "page"}, "host": "::", "port": 8080},
        metrics={"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
        applyTopics=True,
    ),
    "exporter": values(
        {"secret": {"name": "k", **ALL_KEYS}},
        exporter={"enabled": True, "pipelines": ["shop.refunds:pipeline"]},
        metrics={"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    ),
    "everything else": values(
        exporter={"enabled": True, "port": 9000},
        workers=2,
        strategy="Recreate",
        stages=["enrich"],
        options=["--yes"],
        applyTopics=True,
        env=[{"name": "MODELS_KEY", "value": "x"}],
        podAnnotations={"a": "b"},
        podLabels={"team": "shop"},
        nodeSelector={"disk": "ssd"},
        tolerations=[{"key": "batch", "operator": "Exists"}],
        affinity={"nodeAffinity": {}},
        serviceAccount={"name": "shop"},
        extraContainers=[{"name": "agent", "image": "agent:1"}],
        image={"repository": "r", "tag": "1", "pullSecrets": [{"name": "pull"}]},
    ),
}


@pytest.fixture(params=VARIANTS, ids=str)
def manifests(request: pytest.FixtureRequest, tmp_path: Path) -> list[Manifest]:
    return rendered(VARIANTS[request.param], tmp_path)


def of_kind(kind: str, manifests: list[Manifest]) -> Manifest:
    [found] = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def workers_of(manifests: list[Manifest]) -> Manifest:
    """The deployment or the stateful set."""
    return of_component("worker", manifests)


def of_component(component: str, manifests: list[Manifest]) -> Manifest:
    """The deployment or the stateful set of workers, or of the exporter."""
    [found] = [
        manifest
        for manifest in manifests
        if manifest["kind"] in ("Deployment", "StatefulSet")
        and manifest["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] == component
    ]
    return found


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    """The specification of each pod."""
    for manifest in manifests:
        if "template" in manifest.get("spec", {}):
            yield manifest["spec"]["template"]["spec"]


def own_containers(manifests: list[Manifest]) -> Iterator[Manifest]:
    """The containers of our image."""
    for pod in pods(manifests):
        yield pod["containers"][0]


def variables(container: Manifest) -> dict[str, str]:
    """Variables with their values; what a secret or the pod says is a text."""
    return {one["name"]: one.get("value", "from elsewhere") for one in container["env"]}


def test_kubernetes_and_the_operators_take_all_of_it(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        schema = {"$defs": SCHEMAS["$defs"], **SCHEMAS["kinds"][manifest["kind"]]}
        validator = jsonschema_rs.validator_for(schema)
        assert [
            f"{error.instance_path}: {error.message}" for error in validator.iter_errors(manifest)
        ] == []


def test_helm_finds_nothing_to_say_against_it(tmp_path: Path) -> None:
    done = helm("lint", values(), tmp_path, "--strict", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_variable_is_a_setting_and_they_fit_together(
    manifests: list[Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("hush")
    for container in own_containers(manifests):
        found = variables(container)
        mounts = tuple(mount["mountPath"] for mount in container["volumeMounts"])
        assert list(unknown_settings(found)) == []
        for name, value in found.items():
            if value.startswith("/"):
                assert value.startswith(mounts)
            file = str(tmp_path / "secret") if value.startswith("/var/run") else value
            monkeypatch.setenv(name, file)
        settings = KafkaSettings()
        assert settings.servers == ["kafka:9093"]
        assert "hush" not in json.dumps(container)


def test_secrets_are_files_that_the_pod_mounts_and_no_variables(manifests: list[Manifest]) -> None:
    for pod in pods(manifests):
        container = pod["containers"][0]
        from_secrets = [
            one["name"] for one in container["env"] if "secretKeyRef" in one.get("valueFrom", {})
        ]
        assert set(from_secrets) <= {"STREAMAPP_KAFKA_USERNAME", "STREAMAPP_KAFKA_OAUTH_CLIENT_ID"}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
        files = {
            f"/var/run/secrets/kafka/{item['path']}"
            for item in volumes.get("kafka", {}).get("secret", {}).get("items", ())
        }
        named = {
            v for v in variables(container).values() if v.startswith("/var/run/secrets/kafka/")
        }
        assert named == files


def test_pods_run_as_the_user_of_the_image_and_write_to_their_own_folders_only(
    manifests: list[Manifest],
) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    [(uid, gid)] = re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    [state] = re.findall(r"STREAMAPP_STATE_FOLDER=(\S+)$", dockerfile, re.MULTILINE)
    for pod in pods(manifests):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert (security["runAsUser"], security["runAsGroup"]) == (int(uid), int(gid))
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        container = pod["containers"][0]
        own = container["securityContext"]
        assert own["readOnlyRootFilesystem"] is True
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        writable = [m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")]
        assert writable == [state, "/tmp"]  # noqa: S108 - a folder of the pod's own


def test_prometheus_finds_an_exporter_that_answers_probes_and_is_no_worker(tmp_path: Path) -> None:
    manifests = rendered(VARIANTS["exporter"], tmp_path)
    pod = of_component("exporter", manifests)["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert container["args"][:3] == [
        "exporter",
        VARIANTS["exporter"]["pipeline"],
        "shop.refunds:pipeline",
    ]
    pages = {container[probe]["httpGet"]["path"] for probe in PROBES}
    assert pages == {"/livez", "/readyz"}
    assert variables(container)["STREAMAPP_EXPORTER_PORT"] == str(
        container["ports"][0]["containerPort"]
    )
    [monitor] = [
        one
        for one in manifests
        if one["metadata"]["name"] == "orders-exporter" and one["kind"] == "PodMonitor"
    ]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= pod["metadata"]["labels"].items()
    workers = workers_of(manifests)["spec"]["template"]["metadata"]["labels"]
    assert not wanted.items() <= workers.items()
    annotated = of_component("exporter", rendered(VARIANTS["everything else"], tmp_path))
    assert annotated["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == "9000"


def test_an_exporter_that_nobody_could_scrape_is_refused(tmp_path: Path) -> None:
    closed = values(web={"open": False}, exporter={"enabled": True})
    assert "exporter needs web.open" in refusal(closed, tmp_path)


@pytest.mark.parametrize("name", ["deployment", "stateful set", "everything else"])
def test_the_command_is_understood(name: str, tmp_path: Path) -> None:
    for container in own_containers(rendered(VARIANTS[name], tmp_path)):
        env = {"STREAMAPP_KAFKA_BOOTSTRAP_SERVERS": NOBODY, "STREAMAPP_WEB_PORT": "0"}
        web = {n: v for n, v in variables(container).items() if n.startswith("STREAMAPP_WEB_")}
        env = {**web, **env}
        if container["name"] == "exporter":  # it waits for Kafka, so only a slip ends it
            twice = streamapp(*container["args"], container["args"][1], env=env)
            assert twice.returncode == ExitCode.CONFIGURATION, twice.stderr
            continue
        done = streamapp(*container["args"], env=env)
        assert f"cannot connect to Kafka at {NOBODY}" in done.stdout + done.stderr
        assert done.returncode == ExitCode.BROKER_UNREACHABLE


PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


async def test_probes_ask_for_pages_that_workers_serve_and_that_are_open_to_them(
    manifests: list[Manifest],
) -> None:
    container = workers_of(manifests)["spec"]["template"]["spec"]["containers"][0]
    asked = {probe: asked_by(container, probe) for probe in PROBES}
    assert set(asked.values()) <= await served()
    assert set(asked.values()) <= set(PROBED)
    assert asked["readinessProbe"] == "/readyz"
    # A stage that holds its records, or a Kafka that is away, is no reason to be killed.
    assert asked["startupProbe"] == asked["livenessProbe"] == "/livez"


def asked_by(container: Manifest, probe: str) -> str:
    """The page that a probe asks for, where the worker listens."""
    found = variables(container)
    if "STREAMAPP_WEB_OPEN" in found:
        get = container[probe]["httpGet"]
        ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
        assert ports[get["port"]] == found["STREAMAPP_WEB_PORT"]
        path: str = get["path"]
        return path
    program = container[probe]["exec"]["command"][-1]
    compile(program, probe, "exec")
    [path] = re.findall(rf'"http://127\.0\.0\.1:{found["STREAMAPP_WEB_PORT"]}(/\w+)"', program)
    return path


async def served() -> set[str]:
    """The pages that a worker and a supervisor both have."""

    async def render(_: str) -> tuple[bytes, str]:
        return b"", ""

    port_of_workers = WorkersPort(())
    pages = set(WorkerView(tuple, render, SystemClock()).handlers())
    pages &= set(WorkersView((), port_of_workers, SystemClock()).handlers())
    await port_of_workers.close()
    return pages


def test_the_server_takes_the_address_and_the_access_that_pods_are_given(
    manifests: list[Manifest], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("t" * 16)
    found = variables(workers_of(manifests)["spec"]["template"]["spec"]["containers"][0])
    file = tmp_path / "token" if "STREAMAPP_WEB_TOKEN_FILE" in found else None
    token = None if file is None else file.read_text()
    access = Access(token, opens_probes=found.get("STREAMAPP_WEB_OPEN") == "true")
    host = found.get("STREAMAPP_WEB_HOST", LOOPBACK)
    assert checked_host(host, access) == host
    assert access.allows("/readyz", "")
    assert access.allows("/status", "") == (host == LOOPBACK)


def test_prometheus_is_told_once_where_the_metrics_are(manifests: list[Manifest]) -> None:
    workers = workers_of(manifests)["spec"]["template"]
    [port] = workers["spec"]["containers"][0]["ports"]
    told = workers["metadata"]["annotations"]
    monitors = [
        manifest
        for manifest in manifests
        if manifest["kind"] == "PodMonitor"
        and not manifest["metadata"]["name"].endswith("exporter")
    ]
    is_open = "STREAMAPP_WEB_OPEN" in variables(workers["spec"]["containers"][0])
    assert len(monitors) + ("prometheus.io/scrape" in told) == is_open
    if "prometheus.io/scrape" in told:
        assert told["prometheus.io/port"] == str(port["containerPort"])
        assert told["prometheus.io/path"] == "/metrics"
    for monitor in monitors:
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        assert (endpoint["port"], endpoint["path"]) == (port["name"], "/metrics")
        wanted = monitor["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= workers["metadata"]["labels"].items()
        assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_the_token_is_a_file_of_the_worker_alone(tmp_path: Path) -> None:
    for pod in pods(rendered(VARIANTS["token"], tmp_path)):
        container = pod["containers"][0]
        is_worker = "run" in container["args"]
        secrets = [one["secret"] for one in pod["volumes"] if one["name"] == "web"]
        assert [one["secretName"] for one in secrets] == (["page"] if is_worker else [])
        file = variables(container).get("STREAMAPP_WEB_TOKEN_FILE")
        assert file == ("/var/run/secrets/web/token" if is_worker else None)


@pytest.mark.parametrize("seconds", [0, 15, 120])
def test_a_pod_has_time_to_drain(seconds: int, tmp_path: Path) -> None:
    workers = workers_of(rendered(values(drainSeconds=seconds, workers=2), tmp_path))
    pod = workers["spec"]["template"]["spec"]
    arguments = pod["containers"][0]["args"]
    assert arguments[arguments.index("--drain-seconds") + 1] == str(seconds)
    assert pod["terminationGracePeriodSeconds"] >= seconds + AFTER_DRAIN_SECONDS + 15


def test_selectors_find_the_pods_of_workers_and_no_others(manifests: list[Manifest]) -> None:
    workers = workers_of(manifests)
    labels = workers["spec"]["template"]["metadata"]["labels"]
    selector = workers["spec"]["selector"]["matchLabels"]
    assert selector.items() <= labels.items()
    assert of_kind("PodDisruptionBudget", manifests)["spec"]["selector"]["matchLabels"] == selector
    for manifest in manifests:
        if manifest["kind"] == "Job":
            others = manifest["spec"]["template"]["metadata"]["labels"]
            assert not selector.items() <= others.items()


def test_members_of_a_stateful_set_are_static_under_the_names_of_their_pods(tmp_path: Path) -> None:
    manifests = rendered(VARIANTS["stateful set"], tmp_path)
    workers = of_kind("StatefulSet", manifests)
    [container] = workers["spec"]["template"]["spec"]["containers"]
    [instance] = [e for e in container["env"] if e["name"] == "STREAMAPP_WORKER_INSTANCE_ID"]
    assert instance["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    session = int(container["args"][container["args"].index("--session-seconds") + 1])
    assert session > workers["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    service = of_kind("Service", manifests)
    assert service["spec"]["clusterIP"] == "None"
    assert workers["spec"]["serviceName"] == service["metadata"]["name"]


def test_members_of_a_deployment_are_not_static(tmp_path: Path) -> None:
    [container] = own_containers(rendered(VARIANTS["deployment"], tmp_path))
    assert "STREAMAPP_WORKER_INSTANCE_ID" not in variables(container)


def test_keda_alone_says_how_many_workers_there_are_and_waits_before_it_does(
    tmp_path: Path,
) -> None:
    manifests = rendered(VARIANTS["autoscaling"], tmp_path)
    deployment = of_kind("Deployment", manifests)
    assert "replicas" not in deployment["spec"]
    scaled = of_kind("ScaledObject", manifests)["spec"]
    assert scaled["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    up, down = behavior["scaleUp"], behavior["scaleDown"]
    assert up["stabilizationWindowSeconds"] >= 3 * scaled["pollingInterval"]
    assert down["stabilizationWindowSeconds"] > up["stabilizationWindowSeconds"]
    assert [policy["type"] for policy in down["policies"]] == ["Pods"]
    [trigger] = scaled["triggers"]
    told = trigger["metadata"]
    assert (told["consumerGroup"], told["topic"]) == ("orders.price", "orders.raw")
    assert (told["allowIdleConsumers"], told["excludePersistentLag"]) == ("false", "true")
    assert (told["sasl"], told["tls"]) == ("scram_sha512", "enable")
    authentication = of_kind("TriggerAuthentication", manifests)
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    given = authentication["spec"]["secretTargetRef"]
    assert [(one["parameter"], one["key"]) for one in given] == [
        ("username", "username"),
        ("password", "password"),
    ]


def test_the_example_of_the_page_is_one_that_works(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    [example] = re.findall(r"^```yaml\n(image:.*?)^```$", page, re.MULTILINE | re.DOTALL)
    kinds = {manifest["kind"] for manifest in rendered(yaml.safe_load(example), tmp_path)}
    assert kinds >= {"Deployment", "ScaledObject", "TriggerAuthentication", "PodDisruptionBudget"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pipeline": ""}, "pipeline"),
        ({"image": {"repository": "r", "tag": "latest"}}, "tag"),
        ({"replica": 3}, "replica"),
        ({"kind": "DaemonSet"}, "kind"),
        ({"kind": "StatefulSet", "autoscaling": SCALING}, "use kind Deployment with autoscaling"),
        ({"autoscaling": {"enabled": True}}, "autoscaling.lag names no group"),
        ({"kafka": {"bootstrapServers": "k:1", **SASL}}, "kafka.secret.name is needed"),
        ({"kafka": {"bootstrapServers": "k:1", **OAUTH}}, "kafka.oauth.tokenUrl or"),
        (values(web={"open": False, "token": {"secret": "page"}}), "web.token is for who comes"),
        (
            values(web={"open": False}, metrics={"podMonitor": {"enabled": True}}),
            "metrics.podMonitor needs web.open",
        ),
        (
            values({**OAUTH, "oauth": {"audience": "kafka"}}, autoscaling=SCALING),
            "autoscaling.authenticationRef",
        ),
    ],
)
def test_values_that_cannot_work_are_refused(changes: Manifest, told: str, tmp_path: Path) -> None:
    assert told in refusal({**values(), **changes}, tmp_path)
