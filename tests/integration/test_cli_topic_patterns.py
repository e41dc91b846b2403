"""Worker processes that read topics by a pattern, of which one is killed while a topic is made."""

import asyncio
import signal
from collections.abc import Iterable

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from streamapp.cli.exit_codes import ExitCode
from tests.cli import running
from tests.patience import eventually
from tests.project import Project

PATTERN = r"""
import time
from streamapp import Context, Pipeline, TopicPattern, agent

@agent
def tagged(value: dict, context: Context) -> dict:
    time.sleep(0.002)
    return value | {{"topic": context.topic}}

pipeline = (
    Pipeline("{name}", source=TopicPattern(r"{name}\.in\..*", dict))
    .stage(tagged)
    .sink("{name}.out")
)
"""

MINUTE_SECONDS = 60.0
PARTITIONS = 4


async def write(project: Project, end: str, numbers: Iterable[int]) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=project.kafka.bootstrap_servers, linger_ms=5
    ) as producer:
        topic = f"{project.name}.in.{end}"
        sent = [await producer.send(topic, b'{"n":%d}' % n, partition=n % 2) for n in numbers]
        await asyncio.gather(*sent)


async def came(project: Project) -> set[tuple[str, int]]:
    values = [orjson.loads(record.value) for record in await project.read("out", PARTITIONS)]
    return {(value["topic"].rpartition(".")[2], value["n"]) for value in values}


async def some(project: Project, count: int) -> bool:
    return len(await came(project)) > count


async def is_whole(project: Project, whole: set[tuple[str, int]]) -> bool:
    return await came(project) == whole


@pytest.mark.timeout(240)
@pytest.mark.parametrize("project", [PATTERN], indirect=True, ids=["pattern"])
async def test_a_kill_while_a_topic_is_made_loses_nothing_of_any_topic(project: Project) -> None:
    plan = project.succeed("plan", "mine:pipeline")
    assert rf"{project.name}\.in\..*" in plan
    run = ("run", "mine:pipeline", "--no-web", "--progress-seconds", "0.5")
    folder, env = project.folder, project.env
    with (
        running(*run, folder=folder / "one", cwd=folder, env=env) as one,
        running(*run, folder=folder / "two", cwd=folder, env=env) as two,
    ):
        for command in (one, two):
            command.wait_for("tagged: running")
        await project.kafka.create_topics({f"{project.name}.in.a": 2})
        await write(project, "a", range(2_000))
        whole = {("a", n) for n in range(2_000)}
        await eventually(lambda: some(project, 200), seconds=2 * MINUTE_SECONDS)
        await project.kafka.create_topics({f"{project.name}.in.b": 2})
        await write(project, "b", range(1_000))
        two.send(signal.SIGKILL)
        assert two.exit_code() == -signal.SIGKILL
        assert len(await came(project)) < 3_000, "the work was done before the kill"
        await write(project, "a", range(2_000, 2_500))
        whole |= {("a", n) for n in range(2_500)} | {("b", n) for n in range(1_000)}
        await eventually(lambda: is_whole(project, whole), seconds=2 * MINUTE_SECONDS)
        one.send(signal.SIGTERM)
        assert one.exit_code() == ExitCode.OK
