"""A change of a table that Kafka refuses: the record that has made it is not taken for finished."""

import asyncio

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streamapp.cli.exit_codes import ExitCode
from tests.cli import running
from tests.project import Project

RUN = ("run", "mine:pipeline", "--no-web", "--until-end")
RECORDS = 6

STAGE = """
import os
import faust
from streamapp import Pipeline, Topic
from streamapp.faust_adapter import faust_agent

app = faust.App(
    "{name}",
    broker="kafka://" + os.environ["STREAMAPP_KAFKA_BOOTSTRAP_SERVERS"],
    store="memory://",
    topic_partitions=4,
    producer_max_request_size=int(os.environ.get("MOST_BYTES", "1000000")),
)
seen = app.Table("seen", default=str)

@app.agent(app.topic("{name}.raw", value_serializer="json"))
async def check(values):
    async for value in values:
        n = value["n"]
        seen[str(n)] = "x" * (5000 if n == 3 and "FIXED" not in os.environ else 5)
        yield dict(n=n, seen=sorted(seen.keys()))

pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", bytes))
    .stage(faust_agent(check, gives=dict))
    .sink("{name}.out")
)
"""


async def prepare(project: Project) -> None:
    """Records, and a changelog that takes only small ones."""
    servers = project.kafka.bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        config = {"max.message.bytes": "2000", "cleanup.policy": "compact"}
        changelog = NewTopic(f"{project.name}-seen-changelog", 4, 1, topic_configs=config)
        await admin.create_topics([changelog])
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for n in range(RECORDS):
            value = orjson.dumps({"n": n})
            await producer.send(f"{project.name}.raw", value, partition=0, key=b"one")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("most_bytes", ["1000000", "2000"], ids=["by Kafka", "by its client"])
@pytest.mark.parametrize("project", [STAGE], indirect=True, ids=["stage"])
async def test_a_change_of_a_table_that_is_refused_ends_the_worker_and_is_not_lost(
    project: Project, most_bytes: str
) -> None:
    await prepare(project)
    folder, env = project.folder, {**project.env, "MOST_BYTES": most_bytes}
    with running(*RUN, folder=folder / "refused", cwd=folder, env=env) as worker:
        assert await asyncio.to_thread(worker.exit_code) == ExitCode.FAILURE, worker.stderr
        assert f"could not write to {project.name}-seen-changelog: " in worker.stderr
    fixed = {**env, "FIXED": "1"}
    with running(*RUN, folder=folder / "fixed", cwd=folder, env=fixed) as worker:
        assert await asyncio.to_thread(worker.exit_code) == ExitCode.OK, worker.stderr
    last = [orjson.loads(record.value) for record in await project.read("out", 4)][-1]
    assert last == {"n": RECORDS - 1, "seen": [str(n) for n in range(RECORDS)]}
