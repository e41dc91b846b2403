"""`streamapp lag`: how far stages are behind by what Kafka says, and why."""

import json
import signal
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.cli import running
from tests.project import Project

PIPELINE = """
import os
from streamapp import Pipeline, Topic, agent

@agent
async def careful(value: dict) -> dict:
    if "DOWN" in os.environ:
        raise OSError("the catalogue does not answer")
    return value

pipeline = Pipeline("{name}", source=Topic("{name}.raw", dict)).stage(careful).sink("{name}.out")
"""


def lag_of(project: Project, *args: str) -> Any:
    return json.loads(project.succeed("lag", project.name, "--output", "json", *args))


async def write(project: Project, count: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        for n in range(count):
            await producer.send(f"{project.name}.raw", b'{"n": %d}' % n, key=b"%d" % n)
        await producer.flush()


@pytest.mark.parametrize("project", [pytest.param(PIPELINE, id="careful")], indirect=True)
async def test_a_stage_that_does_not_run_is_behind_and_one_that_holds_says_why(
    project: Project,
) -> None:
    await write(project, 10)
    project.succeed("run", "mine:pipeline", "--until-end", "--no-web")
    groups = lag_of(project)["groups"]
    refused = project.streamapp("lag", f"{project.name}x", "--why")
    assert refused.returncode == 3
    assert f"did you mean {project.name!r}" in refused.stderr
    assert [(one["group"], one["behind"], one["members"]) for one in groups] == [
        (f"{project.name}.careful", 0, 0)
    ]
    await write(project, 30)
    found = lag_of(project, "--why")
    assert sum(one["behind"] for one in found["groups"]) == 30
    [finding] = found["findings"]
    assert finding["cause"] == "not_running"
    assert finding["evidence"] == "no worker reads, and up to 30 records wait"
    env = {**project.env, "DOWN": "1"}
    run = ("run", "mine:pipeline", "--web-port", "0", "--progress-seconds", "0.2")
    with running(*run, folder=project.folder / "run", cwd=project.folder, env=env) as worker:
        worker.wait_for("dependency_down")
        told = project.succeed("lag", project.name, "--why", "--output", "table")
        worker.send(signal.SIGTERM)
        worker.exit_code()
    assert f"{project.name}.careful: failing: dependency_down" in told
    assert "Mend what the reason names" in told
    assert "Next: streamapp status" in told
