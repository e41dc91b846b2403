"""The service whose latency is measured: stages of streamapp, or as many hand-written loops.

A process of its own that works until it is ended: `python -m benchmarks.latency_worker '<job>'`.
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks import agents, hand_loop
from benchmarks.measure import Job, Meter
from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.service import Service
from streamapp.settings import KafkaSettings
from streamapp.topics.topic import Topic

NO_END = sys.maxsize


@dataclass(frozen=True, slots=True)
class Course:
    """The way of the records.

    Attributes:
        bootstrap_servers: address of the broker.
        side: `streamapp`, `streamapp_twin` without native leaves, or `hand_loop`.
        name: of the run.
        stages: how many, in one process; none is for reading the source itself.
    """

    bootstrap_servers: str
    side: str
    name: str
    stages: int

    @property
    def topics(self) -> list[str]:
        """From the source to the last output."""
        return [f"{self.name}.source", *(f"{self.name}.stage-{i}" for i in range(self.stages))]

    @property
    def dead_letters(self) -> list[str]:
        """One topic for each stage."""
        return [f"{self.name}.stage-{i}.dlq" for i in range(self.stages)]


def pipeline_of(course: Course) -> Pipeline[Any, Any]:
    source, *outputs = course.topics
    price: Any = agent(name="stage-0")(agents.price)
    built: Pipeline[Any, Any] = Pipeline(course.name, source=Topic(source, agents.Purchase))
    for number, output in enumerate(outputs):
        used = price if number == 0 else agent(name=f"stage-{number}")(agents.pass_on)
        own = Topic(output, agents.PricedPurchase)
        if number + 1 == course.stages:
            built = built.stage(used, dead_letters=course.dead_letters[number]).sink(own)
        else:
            built = built.stage(used, output=own, dead_letters=course.dead_letters[number])
    return built


async def run_streamapp(course: Course) -> None:
    """All as it is by default."""
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=course.bootstrap_servers))
    await Service(broker, [build(pipeline_of(course))]).run()


async def run_hand_loops(course: Course) -> None:
    """One loop for each stage."""
    async with asyncio.TaskGroup() as loops:
        for number in range(course.stages):
            job = Job(
                course.bootstrap_servers,
                course.topics[number],
                course.topics[number + 1],
                f"{course.name}.stage-{number}",
                "sync" if number == 0 else "pass_on",
                NO_END,
            )
            loops.create_task(hand_loop.run(job, Meter()))


SIDES = {
    "streamapp": run_streamapp,
    "streamapp_twin": run_streamapp,
    "hand_loop": run_hand_loops,
}

if __name__ == "__main__":
    told = Course(**json.loads(sys.argv[1]))
    asyncio.run(SIDES[told.side](told))
