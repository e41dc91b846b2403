"""A worker with many small pipelines: `python -m benchmarks.bundle_worker '<case as JSON>'`.

It says on one line when all its stages have their partitions, and works until it is ended.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.observability.stage_metrics import StageMetrics
from streamapp.pipeline.agent import agent
from streamapp.pipeline.bundle import Bundle, build_bundle
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.settings import KafkaSettings
from streamapp.topics.topic import Topic

DEAD_LETTERS = "small.dlq"
"""One for all, so that a pipeline has a topic for each stage and its source."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a worker hosts.

    Attributes:
        bootstrap_servers: address of the broker.
        name: beginning of the names of its pipelines, which go on with a number.
        pipelines: how many.
        stages: stages of each.
        is_bundled: whether they are in one bundle.
        ready_file: written when all stages have their partitions: seconds since the start.
    """

    bootstrap_servers: str
    name: str
    pipelines: int
    stages: int
    is_bundled: bool
    ready_file: str


class Value(BaseModel):
    """A number."""

    n: int


@agent
async def pass_on(value: Value) -> Value:
    return value


def pipeline_of(case: Case, number: int) -> Pipeline[Any, Any]:
    """A pipeline whose topics have the names of their places in it."""
    name = f"{case.name}-{number}"
    made: Pipeline[Any, Any] = Pipeline(name, source=Topic(f"{name}.0", Value))
    for i in range(case.stages):
        output = Topic(f"{name}.{i + 1}", Value) if i < case.stages - 1 else None
        made = made.stage(pass_on, name=f"s{i}", dead_letters=DEAD_LETTERS, output=output)
    return made.sink(f"{name}.{case.stages}")


def topologies_of(case: Case) -> Sequence[Topology]:
    pipelines = [pipeline_of(case, number) for number in range(case.pipelines)]
    if case.is_bundled:
        return build_bundle(Bundle(case.name, pipelines))
    return [build(pipeline) for pipeline in pipelines]


async def work(case: Case) -> None:
    began = time.monotonic()
    service = Service(
        KafkaBroker(KafkaSettings(bootstrap_servers=case.bootstrap_servers)),
        topologies_of(case),
        config=RuntimeConfig(),
    )
    telling = asyncio.create_task(tell_when_ready(case, service.metrics, began))
    await service.run()
    await telling


async def tell_when_ready(case: Case, stages: Sequence[StageMetrics], began: float) -> None:
    while not all(metrics.partitions for metrics in stages):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.1)
    seconds = f"{time.monotonic() - began}"
    await asyncio.to_thread(Path(case.ready_file).write_text, seconds)


if __name__ == "__main__":
    asyncio.run(work(Case(**json.loads(sys.argv[1]))))
