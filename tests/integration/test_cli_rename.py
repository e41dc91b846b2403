"""A renamed stage: told by `topics apply`, refused by `run`, settled by a word."""

import pytest
from aiokafka import AIOKafkaProducer

from streamapp.cli.exit_codes import ExitCode
from tests.project import Project

RENAMING = """
import os
from streamapp import Pipeline, Topic, agent

@agent
def keep(value: dict) -> dict:
    return value

pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", dict))
    .stage(keep, name=os.environ.get("STAGE", "old"), renamed_from=os.environ.get("OLD"))
    .sink("{name}.out")
)
"""


async def write(project: Project, numbers: range) -> None:
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        for n in numbers:
            await producer.send_and_wait(f"{project.name}.raw", b'{"n":%d}' % n, partition=1)


@pytest.mark.parametrize("project", [RENAMING], indirect=True, ids=["renaming"])
@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "workers"])
async def test_a_renamed_stage_needs_a_word(project: Project, workers: tuple[str, ...]) -> None:
    run = ("run", "mine:pipeline", "--until-end", "--no-web", "--log-level", "ERROR")
    await write(project, range(5))
    assert project.streamapp(*run).returncode == 0

    applied = project.streamapp("topics", "apply", "mine:pipeline", STAGE="new")
    assert applied.returncode == 0
    assert "Before it runs: pipeline" in applied.stdout
    assert f"done: create {project.name}.new.dlq" in applied.stdout
    refused = project.streamapp(*run, *workers, STAGE="new")
    assert refused.returncode == ExitCode.STAGE_RENAMED
    assert refused.stderr.count("stage 'new' has no offsets") == 1
    assert len(await project.read("out", 4)) == 5

    await write(project, range(5, 8))
    taken_over = project.streamapp(*run, *workers, STAGE="new", OLD="old")
    assert taken_over.returncode == 0, taken_over.stderr
    assert len(await project.read("out", 4)) == 8

    project.succeed("topics", "apply", "mine:pipeline")
    assert project.streamapp("topics", "apply", "mine:pipeline", STAGE="third").returncode == 0
    anew = project.streamapp(*run, *workers, "--yes", STAGE="third")
    assert anew.returncode == 0, anew.stderr
    assert len(await project.read("out", 4)) == 16
