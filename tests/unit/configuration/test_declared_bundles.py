"""Pipelines of a file that name the same bundle are run as one."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamapp.cli.loading import load_pipeline, load_target, load_topologies, topics_of
from streamapp.cli.runnable import load_runnable
from streamapp.configuration.file import read_configuration
from streamapp.errors import ConfigurationError, PipelineError
from streamapp.pipeline.bundle import Bundle
from tests.unit.configuration.hostile import AGENT


def pipeline(name: str, **more: Any) -> dict[str, Any]:
    stages = [{"agent": "once"}]
    return {"source": f"{name}.orders", "sink": f"{name}.once", "stages": stages, **more}


def written(folder: Path, **pipelines: dict[str, Any]) -> Path:
    path = folder / "config.json"
    data = {"data_agents": {"once": AGENT}, "data_pipelines": pipelines}
    path.write_text(json.dumps(data, indent=1))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    topics = [{"name": "acme.orders", "partitions": 2}]
    return written(
        tmp_path,
        acme=pipeline("acme", bundle="tenants", topics=topics),
        alone=pipeline("alone"),
        brix=pipeline("brix", bundle="tenants"),
    )


def test_a_target_may_be_a_bundle(path: Path) -> None:
    target = f"{path}#tenants"
    found = load_target(target)
    assert isinstance(found, Bundle)
    assert [one.name for one in found.pipelines] == ["acme", "brix"]
    assert {one.segments[0].group for one in load_topologies(target)} == {"tenants"}
    assert [one.name for one in topics_of(target)] == ["acme.orders"]


def test_what_is_run_has_its_agents_replaced_and_its_bundle(path: Path) -> None:
    found = load_runnable(f"{path}#tenants")
    assert found.bundle == "tenants"
    assert len(found.topologies) == 2
    assert found.reassembly is not None
    assert load_runnable(f"{path}#alone").bundle is None


def test_one_of_its_pipelines_can_be_run_alone(path: Path) -> None:
    assert load_pipeline(f"{path}#brix").name == "brix"
    assert load_runnable(f"{path}#brix").bundle is None


def test_a_command_for_one_pipeline_refuses_a_bundle(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a bundle of 2 pipelines; name one pipeline"):
        load_pipeline(f"{path}#tenants")


def test_a_name_that_is_none_is_told_with_the_nearest(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no pipeline 'tenant'.* did you mean 'tenants'"):
        load_target(f"{path}#tenant")


def test_a_bundle_has_not_the_name_of_a_pipeline(tmp_path: Path) -> None:
    path = written(tmp_path, acme=pipeline("acme"), brix=pipeline("brix", bundle="acme"))
    told = r":\d+:\d+: data_pipelines\.brix\.bundle: 'acme' is the name of a pipeline; give the"
    with pytest.raises(ConfigurationError, match=told):
        read_configuration(path)


def test_what_cannot_be_in_one_bundle_is_refused_with_the_stages(tmp_path: Path) -> None:
    again = pipeline("brix", bundle="tenants") | {"source": "acme.orders"}
    path = written(tmp_path, acme=pipeline("acme", bundle="tenants"), brix=again)
    with pytest.raises(PipelineError, match=r"topic 'acme\.orders' is read by stage"):
        load_topologies(f"{path}#tenants")
