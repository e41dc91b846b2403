"""A user's project with its own pipeline on a real Kafka, for tests of the command line."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.cli import streamapp
from tests.kafka import Kafka, unique_name

STUCK = """
import asyncio
import os
from streamapp import Pipeline, Topic, agent

@agent
async def stubborn(value: dict) -> dict:
    while value["n"] == 1 and "FIXED" not in os.environ:
        print("stuck in 1", flush=True)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
    return value

pipeline = Pipeline("{name}", source=Topic("{name}.raw", dict)).stage(stubborn).sink("{name}.out")
"""

STOPPING = """
import os
from streamapp.errors import Permanent
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.policies.policy import stop
from streamapp.topics.topic import Topic

@agent
def careful(value: dict) -> dict:
    if value["n"] == 5 and "FIXED" not in os.environ:
        raise Permanent("five is not liked")
    return value | {{"fixed": "FIXED" in os.environ}}

pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", dict))
    .stage(careful, on_error=stop(), ordering="partition")
    .sink("{name}.out")
)
"""


BUNDLED = """
from streamapp import Bundle, Permanent, Pipeline, Topic, agent, stop

@agent
def careful(value: dict) -> dict:
    raise Permanent("nothing is liked")

@agent
def easy(value: dict) -> dict:
    return value

pipeline = Bundle("{name}.bundle", [
    Pipeline("{name}", source=Topic("{name}.raw", dict))
    .stage(careful, on_error=stop())
    .sink("{name}.out"),
    Pipeline("{name}.well", source=Topic("{name}.other", dict)).stage(easy).sink("{name}.more"),
])
"""

MISCONFIGURED = """
from streamapp import ConfigurationError, Pipeline, Topic, agent

class Lookup:
    async def open(self) -> None:
        raise ConfigurationError("path: titles.csv cannot be read: No such file or directory")

    async def close(self) -> None:
        pass

    async def __call__(self, value: dict) -> dict:
        return value

pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", dict))
    .stage(agent(name="look_up")(Lookup()))
    .sink("{name}.out")
)
"""


@dataclass(frozen=True)
class Project:
    """A user's folder with a pipeline whose topics no other test has.

    Attributes:
        name: name of the pipeline, and the beginning of its topics' names.
        folder: where `mine.py` is.
        kafka: where the topics are.
    """

    name: str
    folder: Path
    kafka: Kafka

    @property
    def env(self) -> Mapping[str, str]:
        return {"STREAMAPP_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers}

    def streamapp(self, *args: str | Path, **env: str) -> "subprocess.CompletedProcess[str]":
        return streamapp(*args, cwd=self.folder, env={**self.env, **env})

    def succeed(self, *args: str | Path) -> str:
        """Run a command that ends well; returns what it wrote."""
        done = self.streamapp(*args)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def read(self, topic: str, partitions: int) -> list[Any]:
        """Every record of a topic, each partition in its order."""
        names = [TopicPartition(f"{self.name}.{topic}", i) for i in range(partitions)]
        records: list[Any] = []
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap_servers, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign(names)
            for name, end in (await consumer.end_offsets(names)).items():
                while await consumer.position(name) < end:
                    records += (await consumer.getmany(name, timeout_ms=1000)).get(name, [])
        finally:
            await consumer.stop()
        return records


@pytest.fixture
def project(request: pytest.FixtureRequest, kafka: Kafka, tmp_path: Path) -> Project:
    """The pipeline that the test names in its parameter, with its topics."""
    name = unique_name("cli")
    (tmp_path / "mine.py").write_text(request.param.format(name=name))
    made = Project(name, tmp_path, kafka)
    made.succeed("topics", "apply", "mine:pipeline")
    return made
