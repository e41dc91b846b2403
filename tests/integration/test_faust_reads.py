"""What Faust reads for a stage, on a real Kafka: committed records only, and after any wait."""

import asyncio
import signal
from collections.abc import Sequence

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient

from streamapp.cli.exit_codes import ExitCode
from tests.cli import running
from tests.kafka import unique_name
from tests.project import Project

PARTITIONS = 4

MORE_THAN_THE_BUFFERS_HOLD = 6000
"""The runtime keeps up to some thousand records in flight, and so does the adapter."""

STAGE = """
import os
from pathlib import Path
import faust
from streamapp import Pipeline, Topic
from streamapp.faust_adapter import faust_agent

app = faust.App(
    "{name}",
    broker="kafka://" + os.environ["STREAMAPP_KAFKA_BOOTSTRAP_SERVERS"],
    broker_max_poll_interval=2,
    stream_buffer_maxsize=10,
)

@app.agent(app.topic("{name}.raw", value_serializer="json"))
async def call(values):
    async for value in values:
        if Path("down").exists():
            raise ConnectionError("what the agent calls is down")
        yield value

pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", bytes))
    .stage(faust_agent(call, gives=dict))
    .sink("{name}.out")
)
"""


async def write(producer: AIOKafkaProducer, project: Project, numbers: Sequence[int]) -> None:
    for n in numbers:
        place = {"partition": 0, "key": b"one"}
        await producer.send(f"{project.name}.raw", orjson.dumps({"n": n}), **place)
    await producer.flush()


async def numbers(project: Project) -> list[int]:
    return [orjson.loads(record.value)["n"] for record in await project.read("out", PARTITIONS)]


async def committed_and_end(project: Project) -> tuple[int, int]:
    partition = KafkaPartition(f"{project.name}.raw", 0)
    servers = project.kafka.bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        stored = await admin.list_consumer_group_offsets(project.name)
    finally:
        await admin.close()
    async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
        ends = await consumer.end_offsets([partition])
    return stored[partition].offset, ends[partition]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("project", [STAGE], indirect=True, ids=["stage"])
async def test_records_of_aborted_transactions_are_not_worked_on_and_markers_are_passed(
    project: Project,
) -> None:
    servers = project.kafka.bootstrap_servers
    identity = unique_name("transactions")
    async with AIOKafkaProducer(bootstrap_servers=servers, transactional_id=identity) as producer:
        for own, ends in (
            ([1, 2], producer.commit_transaction),
            ([13, 14], producer.abort_transaction),
            ([3, 4], producer.commit_transaction),
            ([15], producer.abort_transaction),
        ):
            await producer.begin_transaction()
            await write(producer, project, own)
            await ends()
    folder = project.folder
    run = ("run", "mine:pipeline", "--no-web", "--until-end")
    with running(*run, folder=folder / "run", cwd=folder, env=project.env) as worker:
        assert await asyncio.to_thread(worker.exit_code) == ExitCode.OK, worker.stderr
    assert await numbers(project) == [1, 2, 3, 4]
    committed, end = await committed_and_end(project)
    assert committed == end == 11  # 7 records, and a marker for each transaction


@pytest.mark.timeout(120)
@pytest.mark.parametrize("project", [STAGE], indirect=True, ids=["stage"])
async def test_a_stage_that_was_held_for_longer_than_faust_may_wait_goes_on(
    project: Project,
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        await write(producer, project, range(MORE_THAN_THE_BUFFERS_HOLD))
    folder = project.folder
    down = folder / "down"
    down.touch()
    run = ("run", "mine:pipeline", "--no-web", "--progress-seconds", "0.2")
    with running(*run, folder=folder / "run", cwd=folder, env=project.env) as worker:
        # Probes come after growing waits: five are further apart than broker_max_poll_interval.
        await asyncio.to_thread(worker.wait_for, " 5 retries")
        down.unlink()
        await asyncio.to_thread(worker.wait_for, "lag 0")
        worker.send(signal.SIGTERM)
        assert await asyncio.to_thread(worker.exit_code) == ExitCode.OK, worker.stderr
    assert await numbers(project) == list(range(MORE_THAN_THE_BUFFERS_HOLD))
