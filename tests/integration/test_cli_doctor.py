"""`streamapp doctor`: what is wrong around a pipeline, with what to do about it."""

import json
from typing import Any

import pytest

from tests.kafka import Kafka, unique_name
from tests.project import Project

PIPELINE = """
from streamapp import Pipeline, Topic, agent

@agent
def same(value: dict) -> dict:
    return value

pipeline = Pipeline("{name}", source=Topic("{name}.raw", dict)).stage(same).sink("{name}.out")
"""


def checks(project: Project, *args: str, **env: str) -> tuple[int, list[dict[str, Any]]]:
    done = project.streamapp("doctor", *args, "--output", "json", **env)
    found: list[dict[str, Any]] = json.loads(done.stdout)["checks"]
    return done.returncode, found


def wrong(found: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    return {one["what"]: (one["told"], one["fix"]) for one in found if one["ok"] is False}


@pytest.mark.parametrize("project", [pytest.param(PIPELINE, id="well")], indirect=True)
def test_nothing_is_wrong_where_all_is_there_and_versions_are_told(project: Project) -> None:
    code, found = checks(project, "mine:pipeline")
    assert (code, wrong(found)) == (0, {})
    told = {one["what"]: one["told"] for one in found}
    assert {"versions", "settings", "kafka", "topics", "names", "groups", "state folder"} <= set(
        told
    )
    assert "aiokafka" in told["versions"]
    assert told["groups"] == f"{project.name}.same has 0 members"


def test_topics_that_are_missing_are_named_with_the_command_that_makes_them(
    kafka: Kafka, tmp_path: Any
) -> None:
    project = Project(unique_name("doctor"), tmp_path, kafka)
    (tmp_path / "mine.py").write_text(PIPELINE.format(name=project.name))
    code, found = checks(project, "mine:pipeline")
    told, fix = wrong(found)["topics"]
    assert code == 1
    assert f"{project.name}.raw" in told
    assert fix == "streamapp topics apply mine:pipeline"
    project.succeed(*fix.split()[1:])
    assert checks(project, "mine:pipeline")[0] == 0


def test_a_kafka_that_is_not_there_and_a_variable_that_is_no_setting_are_told(
    kafka: Kafka, tmp_path: Any
) -> None:
    project = Project("none", tmp_path, kafka)
    code, found = checks(project, "--bootstrap-servers", "127.0.0.1:1")
    assert code == 1
    assert list(wrong(found)) == ["kafka"]
    code, found = checks(project, STREAMAPP_KAFKA_BOOTSTRAP_SERVER="x")
    assert code == 1
    assert "STREAMAPP_KAFKA_BOOTSTRAP_SERVERS" in wrong(found)["settings"][0]
