"""A change of a table that Kafka does not take: too large, or refused for another reason."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.cli.exit_codes import ExitCode
from streamapp.settings import KafkaSettings
from tests.cli import running
from tests.project import Project

RUN = ("run", "mine:pipeline", "--no-web", "--until-end")
LIMIT_BYTES = 2000

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
    topic_allow_declare="NO_DECLARE" not in os.environ,
    producer_max_request_size=int(os.environ.get("MOST_BYTES", "1000000")),
    producer_compression_type=os.environ.get("CODEC"),
)
seen = app.Table("seen", default=str)

@app.agent(app.topic("{name}.raw", value_serializer="json"))
async def check(values):
    async for value in values:
        n = value["n"]
        for i in range(value.get("changes", 0)):
            seen[f"{{n}}-{{i}}"] = "y" * 80
        seen[str(n)] = "x" * value["size"]
        yield dict(n=n, seen=sorted(key for key in seen.keys() if "-" not in key))

pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", bytes))
    .stage(faust_agent(check, gives=dict))
    .sink("{name}.out")
)
"""

stage = pytest.mark.parametrize("project", [STAGE], indirect=True, ids=["stage"])


TWO_AGENTS = """
import json
import os
import faust
from streamapp import Pipeline, Topic
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
    async for value in values:
        seen["all"] += 1
        yield json.dumps(value).encode()

@app.agent(app.topic("{name}.check", value_serializer="json"))
async def other(values):
    async for value in values:
        pass

pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", bytes))
    .stage(faust_agent(check, gives=bytes))
    .stage(faust_agent(other))
)
"""


async def prepare(project: Project, values: list[dict[str, int]], **config: str) -> None:
    """Records, and a changelog with this configuration."""
    servers = project.kafka.bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        own = {"cleanup.policy": "compact"} | {k.replace("_", "."): v for k, v in config.items()}
        changelog = NewTopic(f"{project.name}-seen-changelog", 4, 1, topic_configs=own)
        await admin.create_topics([changelog])
    finally:
        await admin.close()
    await put(project, *values)


async def put(project: Project, *values: dict[str, int]) -> None:
    topic = f"{project.name}.raw"
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        for value in values:
            await producer.send(topic, orjson.dumps(value), partition=0, key=b"one")


async def run(project: Project, folder: str, wanted: ExitCode, **env: str) -> str:
    """What a worker writes to stderr."""
    own: Mapping[str, str] = {**project.env, **env}
    with running(*RUN, folder=project.folder / folder, cwd=project.folder, env=own) as worker:
        assert await asyncio.to_thread(worker.exit_code) == wanted, worker.stderr
        return worker.stderr


async def values_of(project: Project, topic: str, partitions: int = 4) -> list[Any]:
    return [orjson.loads(record.value) for record in await project.read(topic, partitions)]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("most_bytes", ["1000000", "2000"], ids=["by Kafka", "by its client"])
@stage
async def test_a_change_of_a_table_that_is_too_large_is_the_fault_of_its_record(
    project: Project, most_bytes: str
) -> None:
    sizes = [5, 5, 5, 5000, 5, 5]
    await prepare(
        project,
        [{"n": n, "size": size} for n, size in enumerate(sizes)],
        max_message_bytes=str(LIMIT_BYTES),
    )
    await run(project, "first", ExitCode.OK, MOST_BYTES=most_bytes)
    [letter] = await project.read("check.dlq", 1)
    assert orjson.loads(letter.value)["n"] == 3
    headers = dict(letter.headers)
    assert headers["streamapp.error.class"] == b"RecordTooLargeError"
    assert b"a change of 5002 bytes is too large" in headers["streamapp.error.message"]
    assert headers["streamapp.error.attempts"] == b"1"
    others = [0, 1, 2, 4, 5]
    assert [value["n"] for value in await values_of(project, "out")] == others
    await put(project, {"n": 6, "size": 5})
    await run(project, "second", ExitCode.OK, MOST_BYTES=most_bytes)
    last = (await values_of(project, "out"))[-1]
    assert last == {"n": 6, "seen": [str(n) for n in [*others, 6]]}  # restored from the changelog


@pytest.mark.timeout(240)
@pytest.mark.parametrize("codec", [None, "gzip"])
@stage
async def test_whatever_kafka_takes_is_sent_and_nothing_that_it_refuses(
    project: Project, codec: str | None
) -> None:
    sizes = range(LIMIT_BYTES - 100, LIMIT_BYTES - 60)
    if codec is not None:  # of one letter alone, far more fits
        sizes = range(100_000, 1_000_000, 50_000)
    values = [{"n": n, "size": size} for n, size in enumerate(sizes)]
    await prepare(
        project,
        # Together too large for one batch of the changelog, and each small enough.
        [{"n": 1000, "size": 5, "changes": 60}, *values],
        max_message_bytes=str(LIMIT_BYTES if codec is None else 700),
    )
    env = {} if codec is None else {"CODEC": codec}
    await run(project, "first", ExitCode.OK, **env)
    refused = [value["size"] for value in await values_of(project, "check.dlq", 1)]
    assert 0 < len(refused) < len(sizes)
    assert max(refused) == sizes[-1]
    n = sizes.index(min(refused))
    async with AIOKafkaProducer(
        bootstrap_servers=project.kafka.bootstrap_servers, compression_type=codec
    ) as plain:
        with pytest.raises(MessageSizeTooLargeError):
            await plain.send_and_wait(
                f"{project.name}-seen-changelog",
                orjson.dumps("x" * min(refused)),
                key=orjson.dumps(str(n)),
                partition=0,
            )


@pytest.mark.timeout(240)
@stage
async def test_a_change_refused_by_no_fault_of_its_record_ends_the_worker_and_is_not_lost(
    project: Project,
) -> None:
    values = [{"n": n, "size": 5} for n in range(6)]
    # Whatever comes over a network is older than this.
    await prepare(project, values, message_timestamp_before_max_ms="0")
    changelog = f"{project.name}-seen-changelog"
    told = await run(project, "refused", ExitCode.FAILURE)
    assert f"could not write to {changelog}: " in told
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=project.kafka.bootstrap_servers)).admin()
    await admin.start()
    try:
        await admin.alter_topic_config(
            changelog, {"message.timestamp.before.max.ms": str(2**63 - 1)}
        )
    finally:
        await admin.stop()
    await run(project, "mended", ExitCode.OK)
    last = (await values_of(project, "out"))[-1]
    assert last == {"n": 5, "seen": [str(n) for n in range(6)]}


@pytest.mark.timeout(240)
@stage
async def test_without_a_changelog_that_faust_may_not_make_nothing_starts(
    project: Project,
) -> None:
    await put(project, *({"n": n, "size": 5} for n in range(3)))
    told = await run(project, "first", ExitCode.CONFIGURATION, NO_DECLARE="1")
    changelog = f"{project.name}-seen-changelog"
    assert f"topic {changelog!r}, the changelog of table 'seen', is missing" in told
    assert not await project.read("check.dlq", 1)
    await run(project, "second", ExitCode.OK)
    assert [value["n"] for value in await values_of(project, "out")] == [0, 1, 2]


@pytest.mark.timeout(240)
@stage
async def test_a_table_whose_changelog_was_deleted_is_told_to_begin_empty(
    project: Project,
) -> None:
    await put(project, {"n": 0, "size": 5})
    assert "begins empty" not in await run(project, "first", ExitCode.OK)
    admin = AIOKafkaAdminClient(bootstrap_servers=project.kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_topics([f"{project.name}-seen-changelog"])
    finally:
        await admin.close()
    await put(project, {"n": 1, "size": 5})
    told = await run(project, "second", ExitCode.OK)
    assert f"topic {project.name}-seen-changelog is not there: table seen begins empty" in told
    assert (await values_of(project, "out"))[-1] == {"n": 1, "seen": ["1"]}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("project", [TWO_AGENTS], indirect=True, ids=["two agents"])
async def test_a_table_that_one_of_two_agents_cannot_write_ends_the_worker_without_dead_letters(
    project: Project,
) -> None:
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=project.kafka.bootstrap_servers)).admin()
    await admin.start()
    try:
        await admin.add_partitions(f"{project.name}.raw", 5)
    finally:
        await admin.stop()
    await put(project, *({"n": n} for n in range(30)))
    told = await run(project, "first", ExitCode.FAILURE)
    assert "could not write to a table: The source topic" in told
    assert not await project.read("check.dlq", 1)
    assert not await project.read("check", 4)
