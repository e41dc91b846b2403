"""A Faust application by itself and as a stage, on a real Kafka."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from streamapp.cli.exit_codes import ExitCode
from tests.cli import running
from tests.kafka import Kafka, unique_name
from tests.patience import eventually
from tests.project import Project

PATIENCE_SECONDS = 90.0
ORDERS = 400
CUSTOMERS = 20
PARTITIONS = 2

APPLICATION = """
import os
import faust

app = faust.App(
    os.environ["FAUST_ID"],
    broker="kafka://" + os.environ["STREAMAPP_KAFKA_BOOTSTRAP_SERVERS"],
    store="memory://",
    topic_partitions=2,
    broker_commit_interval=0.5,
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.0,
)


class Order(faust.Record, serializer="json"):
    id: int
    customer: str
    amount: int


class Largest(faust.Record, serializer="json"):
    id: int
    customer: str
    amount: int


largest = app.Table("largest", default=int)
found = app.topic("{name}.old", value_type=Largest)


@app.agent(app.topic("{name}.raw", value_type=Order){sink})
async def compare(orders):
    async for order in orders:
        largest[order.customer] = max(largest[order.customer], order.amount)
        yield Largest(id=order.id, customer=order.customer, amount=largest[order.customer])
"""

PIPELINE = """
from pydantic import BaseModel
from application import compare
from streamapp import Pipeline, Topic, dead_letter, retry
from streamapp.faust_adapter import faust_agent


class Largest(BaseModel):
    id: int
    customer: str
    amount: int


pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", bytes))
    .stage(faust_agent(compare, gives=Largest), on_error=retry(1, then=dead_letter()))
    .sink("{name}.new")
)
"""


@pytest.fixture
def project(kafka: Kafka, tmp_path: Path) -> Project:
    """The application twice: as it is, and as a stage; with its topics."""
    name = unique_name("faust")
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, sink in ((old, ", sink=[found]"), (new, "")):
        folder.mkdir()
        text = APPLICATION.replace("{sink}", sink).replace("{name}", name)
        (folder / "application.py").write_text(text)
    (new / "mine.py").write_text(PIPELINE.replace("{name}", name))
    return Project(name, new, kafka)


def env_of(project: Project, version: str) -> Mapping[str, str]:
    return {**project.env, "FAUST_ID": f"{project.name}-{version}"}


@contextmanager
def faust_worker(project: Project) -> Iterator["subprocess.Popen[bytes]"]:
    """The application by Faust's own worker; killed at the end."""
    folder = project.folder.parent / "old"
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "faust",
                "-A",
                "application",
                "worker",
                "--without-web",
                "-l",
                "info",
            ],
            cwd=folder,
            env={**os.environ, **env_of(project, "old")},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def write(project: Project, numbers: Sequence[int], *others: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        for n in numbers:
            customer = f"customer {n % CUSTOMERS}"
            order = {"id": n, "customer": customer, "amount": n * 37 % 1000}
            await producer.send(f"{project.name}.raw", orjson.dumps(order), key=customer.encode())
        for other in others:
            await producer.send(f"{project.name}.raw", other, partition=0)


async def outputs(project: Project, version: str) -> list[dict[str, Any]]:
    return [orjson.loads(one.value) for one in await project.read(version, PARTITIONS)]


def ids(found: Sequence[Mapping[str, Any]]) -> set[int]:
    return {one["id"] for one in found}


def largest(found: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The largest that was said of each customer; the application writes to any partition."""
    said: dict[str, int] = {}
    for one in found:
        said[one["customer"]] = max(one["amount"], said.get(one["customer"], 0))
    return said


async def came(
    project: Project, version: str, count: int, seconds: float = PATIENCE_SECONDS
) -> None:
    async def enough() -> bool:
        return len(ids(await outputs(project, version))) >= count

    await eventually(enough, seconds=seconds, pause_seconds=0.5)


async def is_ready(project: Project) -> None:
    """Wait until Faust's worker has its partitions."""
    log = project.folder.parent / "old" / "log"

    async def says_so() -> bool:
        return "Worker ready" in await asyncio.to_thread(log.read_text)

    await eventually(says_so, seconds=PATIENCE_SECONDS, pause_seconds=0.1)


@pytest.mark.timeout(240)
async def test_a_stage_that_is_killed_gives_what_the_application_gives_that_is_not(
    project: Project,
) -> None:
    env = env_of(project, "new")
    applied = await asyncio.to_thread(
        project.streamapp, "topics", "apply", "mine:pipeline", "--partitions", "2", **env
    )
    assert applied.returncode == ExitCode.OK, applied.stderr
    await project.kafka.create_topics({f"{project.name}.old": PARTITIONS})
    first, second = range(ORDERS // 2), range(ORDERS // 2, ORDERS)
    run = ("run", "mine:pipeline", "--no-web", "--progress-seconds", "0.5")
    # Faust's own worker is not killed, and begins before there are orders: at its start it may pass
    # over records, of which it then gives no outputs.
    with faust_worker(project):
        await is_ready(project)
        await write(project, first)
        with running(*run, folder=project.folder / "one", cwd=project.folder, env=env):
            await came(project, "new", 100)
        # The stage was killed by the end of its block.
        await write(project, second)
        await came(project, "old", ORDERS)
    await write(project, (), b"no order")  # an agent of Faust's own worker would crash at it
    with running(*run, folder=project.folder / "two", cwd=project.folder, env=env) as two:
        await came(project, "new", ORDERS)
        two.wait_for("1 dead letter (decode)")
        two.send(signal.SIGTERM)
        assert await asyncio.to_thread(two.exit_code) == ExitCode.OK
    old, new = await outputs(project, "old"), await outputs(project, "new")
    assert ids(old) == ids(new) == set(range(ORDERS))
    expected = {f"customer {n}": 0 for n in range(CUSTOMERS)}
    for n in range(ORDERS):
        customer = f"customer {n % CUSTOMERS}"
        expected[customer] = max(expected[customer], n * 37 % 1000)
    assert largest(new) == expected
    assert largest(old) == expected
    letters = await project.read("compare.dlq", 1)
    assert [letter.value for letter in letters] == [b"no order"]
