"""A stage of a Faust agent whose broker stands still."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from streamapp.cli.exit_codes import ExitCode
from tests.cli import running
from tests.kafka import Kafka, running_kafka
from tests.project import Project

pytestmark = pytest.mark.kafka

STAGE = """
import asyncio
import os
import faust
from streamapp import Pipeline, Topic
from streamapp.faust_adapter import faust_agent

servers = os.environ["STREAMAPP_KAFKA_BOOTSTRAP_SERVERS"]
app = faust.App("shop", broker="kafka://" + servers, topic_partitions=4)
seen = app.Table("seen", default=int)

@app.agent(app.topic("orders", value_serializer="json"))
async def count(values):
    async for value in values:
        await asyncio.sleep(0.01)
        seen["all"] += 1
        yield value

pipeline = (
    Pipeline("shop", source=Topic("orders", bytes))
    .stage(faust_agent(count, gives=dict))
    .sink("counted")
)
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project with a broker of its own, which the test may stop."""
    (tmp_path / "mine.py").write_text(STAGE)
    with running_kafka(tmp_path / "broker") as kafka:
        made = Project("shop", tmp_path, kafka)
        made.succeed("topics", "apply", "mine:pipeline")
        yield made


def broker_pid(kafka: Kafka) -> int:
    status = kafka.broker.status()
    assert status is not None
    [process] = status.pids
    return process


@pytest.mark.timeout(300)
async def test_a_worker_ends_when_it_is_asked_to_although_the_broker_does_not_answer(
    project: Project,
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        for n in range(3000):
            await producer.send("orders", orjson.dumps({"n": n}), key=b"one")
        await producer.flush()
    folder, broker = project.folder, broker_pid(project.kafka)
    run = ("run", "mine:pipeline", "--no-web", "--progress-seconds", "0.2", "--drain-seconds", "1")
    with running(*run, folder=folder / "run", cwd=folder, env=project.env) as worker:
        await asyncio.to_thread(worker.wait_for, "lag 2")  # it has begun, and is far from its end
        os.kill(broker, signal.SIGSTOP)
        try:
            await asyncio.to_thread(worker.wait_for, "broker_unreachable")
            worker.send(signal.SIGTERM)
            assert await asyncio.to_thread(worker.exit_code) == ExitCode.OK, worker.stderr
        finally:
            os.kill(broker, signal.SIGCONT)
