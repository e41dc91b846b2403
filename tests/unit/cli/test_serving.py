"""What the pages of a worker have, as its configuration file says."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from streamapp.cli.loading import monitoring_of
from streamapp.cli.serving import serving
from streamapp.clock import SystemClock
from streamapp.observability.stage_metrics import StageMetrics
from tests.unit.configuration.hostile import AGENT

NOT_EXPORTED = "not exported: data_monitoring.enabled is false"


@pytest.mark.parametrize("exports_metrics", [True, False])
async def test_without_metrics_health_stays(*, exports_metrics: bool) -> None:
    said: list[str] = []
    stages = [StageMetrics("p", "s", "in")]
    serves = serving(
        stages, SystemClock(), port=0, say=said.append, exports_metrics=exports_metrics
    )
    async with serves as server, aiohttp.ClientSession(server.url) as session:
        async with session.get("/healthz") as response:
            assert response.status == 200
        async with session.get("/") as response:
            assert response.status == 200
        async with session.get("/metrics") as response:
            text = await response.text()
            assert (response.status == 200, "streamapp_" in text) == (exports_metrics,) * 2
        assert (text.strip() == NOT_EXPORTED) is not exports_metrics
    assert (f"Metrics  {NOT_EXPORTED}" in said) is not exports_metrics


@pytest.mark.parametrize("enabled", [True, False])
def test_the_file_says_whether_metrics_are_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, enabled: bool
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(_file(enabled=enabled)))
    assert monitoring_of(f"{path}#p").enabled is enabled
    monkeypatch.setenv("STREAMAPP_DATA_MONITORING_ENABLED", "false")
    assert not monitoring_of(f"{path}#p").enabled


def test_a_pipeline_of_a_module_exports_its_metrics() -> None:
    assert monitoring_of("streamapp.examples.playback.pipeline:pipeline").enabled


def _file(*, enabled: bool) -> dict[str, Any]:
    return {
        "data_agents": {"once": AGENT, "again": AGENT},
        "data_pipelines": {
            "p": {"source": "in", "sink": "out", "stages": [{"agent": "once"}, {"agent": "again"}]}
        },
        "data_monitoring": {"enabled": enabled},
    }
