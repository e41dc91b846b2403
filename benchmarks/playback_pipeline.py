"""The playback pipeline in one process: topics between all stages, between some, or none.

Its stages are those of the example that ships, without combinations: what these cost is measured by
themselves.
"""

import dataclasses
from typing import Any

from benchmarks.measure import Job, Meter, main
from benchmarks.metered_broker import MeteredBroker
from benchmarks.streamapp_stage import COMMIT_INTERVAL_SECONDS
from streamapp.examples.playback import agents
from streamapp.examples.playback.models import EnrichedPlayback, Playback
from streamapp.examples.playback.pipeline import ALERTS, SCORED, SOURCE, route, validate
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.stage import StageConfig
from streamapp.pipeline.topology import Segment, Step, Topology, build
from streamapp.policies.policy import dead_letter, retry
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.topics.topic import Topic


class Enrich:
    """One after the other what the example looks up in parallel."""

    def __init__(self) -> None:
        self._find_title = agents.FindTitle()
        self.open, self.close = self._find_title.open, self._find_title.close

    async def __call__(self, event: Playback) -> EnrichedPlayback:
        """Add title and region."""
        title = await self._find_title(event)
        return agents.enrich(event, title, agents.find_region(event))


FUSED = {"unfused": (), "fused": ("route",), "all_fused": ("enrich", "score", "route")}
"""Which stages are fused to the one before them, by mode."""


WAITING = StageConfig(concurrency=64)
"""Of the stage that fetches the records of the one that waits."""


def pipeline(mode: str) -> Pipeline[Any, Any]:
    """The pipeline of four stages."""
    fused = FUSED[mode]
    return (
        Pipeline("playback-quality", source=SOURCE)
        .stage(validate, on_error=dead_letter(), config=WAITING if "enrich" in fused else None)
        .stage(
            agent(name="enrich")(Enrich()),
            on_error=retry(3, then=dead_letter()),
            timeout_seconds=2,
            fused="enrich" in fused,
            config=None if "enrich" in fused else WAITING,
        )
        .stage(agent(agents.score), on_error=dead_letter(), fused="score" in fused)
        .stage(
            route,
            on_error=dead_letter(),
            routes={agents.ALERTS_ROUTE: ALERTS},
            fused="route" in fused,
        )
        .sink(SCORED)
    )


def topology_of(job: Job) -> Topology:
    """The pipeline with groups and topics of this run's own."""
    topology = build(pipeline(job.mode))
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
