"""The playback pipeline in one process, with a topic between all stages or the last two fused."""

import dataclasses
from typing import Any

from benchmarks.measure import Job, Meter, main
from benchmarks.metered_broker import MeteredBroker
from benchmarks.streamapp_stage import COMMIT_INTERVAL_SECONDS
from streamapp.examples.playback.pipeline import build_pipeline
from streamapp.pipeline.topology import Segment, Step, Topology, build
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.topics.topic import Topic


def topology_of(job: Job) -> Topology:
    """The pipeline that ships, with groups and topics of this run's own."""
    topology = build(build_pipeline(fused=job.mode == "fused"))
    segments = []
    for segment in topology.segments:
        first = segment is topology.segments[0]
        sources = tuple(
            dataclasses.replace(source, topic=job.source if first else _own(job, source.topic))
            for source in segment.sources
        )
        steps = tuple(_own_topics(job, step) for step in segment.steps)
        segments.append(Segment(job.group, sources, steps))
    return Topology(job.group, tuple(segments))


def _own_topics(job: Job, step: Step) -> Step:
    def renamed(topic: Topic[Any]) -> Topic[Any]:
        return Topic(_own(job, topic.name), topic.schema)

    return dataclasses.replace(
        step,
        output=None if step.output is None else renamed(step.output),
        routes={route: renamed(topic) for route, topic in step.routes.items()},
        dead_letters=_own(job, step.dead_letters),
    )


def _own(job: Job, name: str) -> str:
    return f"{job.output}.{name}"


async def run(job: Job, meter: Meter) -> None:
    service = Service(
        MeteredBroker(job.bootstrap_servers, meter),
        [topology_of(job)],
        config=RuntimeConfig(commit_interval_seconds=COMMIT_INTERVAL_SECONDS),
    )
    await service.run(until_end=True)


if __name__ == "__main__":
    main(run)
