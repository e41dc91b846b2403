import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamapp.cli.variables import EXPORTER_PORT
from streamapp.settings import KafkaSettings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"topics"}


def test_every_part_of_the_example_is_a_service() -> None:
    own = {"topics", "generator", "streamapp", "exporter"}
    assert set(SERVICES) == own | {"kafka", "prometheus", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].partition(":")
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)


def test_the_base_image_is_pinned_and_the_user_is_not_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^FROM python:3\.11-slim-\w+$", dockerfile, re.MULTILINE)
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["10001:10001"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith("127.0.0.1:")


def test_no_service_shares_the_network_of_the_machine() -> None:
    modes = {service.get("network_mode") for service in SERVICES.values()}
    assert modes == {None, "service:prometheus"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_what_keeps_running_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", SERVICES)
def test_dependencies_exist_and_wait_for_what_is_there(name: str) -> None:
    for other, dependency in SERVICES[name].get("depends_on", {}).items():
        match dependency["condition"]:
            case "service_healthy":
                assert "healthcheck" in SERVICES[other]
            case "service_completed_successfully":
                assert other in ONE_SHOT
            case condition:
                assert condition == "service_started"


@pytest.mark.parametrize("name", SERVICES)
def test_mounted_files_are_in_the_repository(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists()
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", ["topics", "generator", "streamapp", "exporter"])
def test_streamapp_is_told_where_kafka_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(variable, value)
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INTERNAL://{KafkaSettings().bootstrap_servers}" in listeners.split(",")


def test_prometheus_scrapes_the_ports_that_streamapp_listens_on() -> None:
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    job, outside = config["scrape_configs"]
    assert outside["static_configs"] == [{"targets": [f"127.0.0.1:{EXPORTER_PORT}"]}]
    assert f"127.0.0.1:{EXPORTER_PORT}/healthz" in str(SERVICES["exporter"]["healthcheck"])
    command = SERVICES["streamapp"]["command"]
    port = command[command.index("--web-port") + 1]
    assert job["static_configs"] == [{"targets": [f"127.0.0.1:{port}"]}]
    assert f"127.0.0.1:{port}/healthz" in str(SERVICES["streamapp"]["healthcheck"])


def test_what_the_dockerfile_copies_reaches_the_build() -> None:
    let_in = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = set()
    for line in re.findall(r"^COPY (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        copied.update(line.split()[:-1])
    assert copied == let_in
