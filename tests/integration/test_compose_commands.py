"""The commands of docker-compose.yml, as the command line of today understands them."""

import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamapp.cli.exit_codes import ExitCode
from tests.cli import ROOT, running, streamapp

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
    "services"
]
OURS = {name for name, service in SERVICES.items() if service["image"].startswith("streamapp:")}
NOBODY = "127.0.0.1:1"


def test_the_commands_are_those_of_the_example() -> None:
    assert {"topics", "generator", "streamapp", "exporter"} == OURS


@pytest.mark.parametrize("name", sorted(OURS - {"exporter"}))
def test_a_service_gets_as_far_as_its_kafka(name: str) -> None:
    """Its options and its pipeline are right, and its environment says where Kafka is."""
    service = SERVICES[name]
    assert set(service["environment"].values()) == {"kafka:19092"}
    done = streamapp(*service["command"], env=dict.fromkeys(service["environment"], NOBODY))
    assert done.returncode == ExitCode.BROKER_UNREACHABLE, done.stderr
    assert done.stderr.startswith(f"streamapp: cannot connect to Kafka at {NOBODY}")


def test_the_exporter_waits_for_its_kafka(tmp_path: Path) -> None:
    service = SERVICES["exporter"]
    assert set(service["environment"].values()) == {"kafka:19092"}
    env = {**dict.fromkeys(service["environment"], NOBODY), "STREAMAPP_EXPORTER_PORT": "0"}
    with running(*service["command"], folder=tmp_path, env=env) as exporter:
        told = exporter.wait_for_error("lag, members and dead letters are not known")
        assert f"cannot connect to Kafka at {NOBODY}" in told
        exporter.send(signal.SIGTERM)
        assert exporter.exit_code() == ExitCode.OK
