"""A stage of a Faust agent on a real Kafka: what fails is not lost, and nothing is repeated."""

import asyncio
import signal
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient

from streamapp.cli.exit_codes import ExitCode
from tests.cli import RunningCommand, running
from tests.project import Project

RECORDS = 6
RUN = ("run", "mine:pipeline", "--no-web", "--progress-seconds", "0.2")

STAGE = """
import os
import faust
from streamapp import Pipeline, Topic, retry, stop
from streamapp.faust_adapter import faust_agent

app = faust.App(
    "{name}",
    broker="kafka://" + os.environ["STREAMAPP_KAFKA_BOOTSTRAP_SERVERS"],
    store="memory://",
    topic_partitions=4,
)
seen = app.Table("seen", default=int)

@app.agent(app.topic("{name}.raw", value_serializer="json"))
async def check(values):
    async for event in values.events():
        event.ack()  # commits nothing: the stage has not finished it
        value = event.value
        if value["n"] == 3 and "FIXED" not in os.environ:
            raise ValueError("three is not liked")
        seen["all"] += 1
        yield dict(n=value["n"], seen=seen["all"])

policies = dict(stop=stop(), retry=retry(1000))
pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", bytes))
    .stage(faust_agent(check, gives=dict), on_error=policies[os.environ.get("POLICY", "stop")])
    .sink("{name}.out")
)
"""


async def write(project: Project) -> None:
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        for n in range(RECORDS):
            place = {"partition": 0, "key": b"one"}
            await producer.send(f"{project.name}.raw", orjson.dumps({"n": n}), **place)


async def outputs(project: Project) -> list[dict[str, Any]]:
    return [orjson.loads(record.value) for record in await project.read("out", 4)]


async def committed(project: Project) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=project.kafka.bootstrap_servers)
    await admin.start()
    try:
        stored = await admin.list_consumer_group_offsets(project.name)
    finally:
        await admin.close()
    return int(stored[KafkaPartition(f"{project.name}.raw", 0)].offset)


async def ended(command: RunningCommand) -> int:
    return await asyncio.to_thread(command.exit_code)


def env(project: Project, **more: str) -> Mapping[str, str]:
    return {**project.env, **more}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("project", [STAGE], indirect=True, ids=["stage"])
async def test_a_record_that_fails_is_neither_lost_nor_passed_by_whatever_ends_the_worker(
    project: Project,
) -> None:
    await write(project)
    folder = project.folder

    with running(*RUN, folder=folder / "stop", cwd=folder, env=env(project)) as stopping:
        assert await ended(stopping) == ExitCode.STAGE_STOPPED, stopping.stderr
    assert await committed(project) == 3

    retrying = running(*RUN, folder=folder / "retry", cwd=folder, env=env(project, POLICY="retry"))
    with retrying as worker:
        await asyncio.to_thread(worker.wait_for, " 3 in flight")
        worker.send(signal.SIGTERM)
        assert await ended(worker) == ExitCode.OK, worker.stderr
    assert await committed(project) == 3

    fixed = env(project, FIXED="1")
    with running(*RUN, "--until-end", folder=folder / "end", cwd=folder, env=fixed) as worker:
        assert await ended(worker) == ExitCode.OK, worker.stderr
    found = await outputs(project)
    # The table has come back from its changelog with each worker.
    assert found == [{"n": n, "seen": n + 1} for n in range(RECORDS)]

    with running(*RUN, folder=folder / "idle", cwd=folder, env=fixed) as worker:
        await asyncio.to_thread(worker.wait_for, "lag 0")
        worker.send(signal.SIGTERM)
        assert await ended(worker) == ExitCode.OK, worker.stderr
    assert await committed(project) == RECORDS
    assert Counter(one["n"] for one in await outputs(project)) == Counter(range(RECORDS))
