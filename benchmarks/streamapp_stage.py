"""streamapp's side: one stage around the same agent, with everything on that is on by default."""

from typing import Any

from benchmarks import agents, struct_agents
from benchmarks.composed_agents import COMPOSED
from benchmarks.measure import Job, Meter, main
from benchmarks.metered_broker import MeteredBroker
from streamapp.pipeline.agent import Agent, agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.runtime.config import RuntimeConfig
from streamapp.service import Service
from streamapp.topics.topic import Topic

COMMIT_INTERVAL_SECONDS = 0.1
"""Instead of 1 s: the run ends with its last commit, and shall not end with a wait for it."""

AGENTS: dict[str, Agent[Any, Any]] = {
    "sync": agent(name="price")(agents.price),
    "async": agent(name="price")(agents.price_async),
    "dict": agent(name="price", input_type=dict, output_type=dict)(agents.price_dict),
    "msgspec": agent(name="price")(struct_agents.price_struct),
    "out": agent(name="price")(agents.price_out),
    "context": agent(name="price")(agents.price_context),
    "fused": agent(name="price")(agents.price),
    "fused_frozen": agent(name="price")(agents.price_frozen),
    **COMPOSED,
}


CONFIRMATIONS = {"fused": agents.pass_on, "fused_frozen": agents.pass_on_frozen}
"""Agents of a second stage that is fused to the first, by mode."""


def pipeline_of(job: Job) -> Pipeline[Any, Any]:
    used, letters = AGENTS[job.mode], f"{job.output}.dlq"
    pipeline: Pipeline[Any, Any] = Pipeline(job.group, source=Topic(job.source, used.input_type))
    pipeline = pipeline.stage(used, dead_letters=letters)
    if job.mode in CONFIRMATIONS:
        confirm = agent(name="confirm")(CONFIRMATIONS[job.mode])
        pipeline = pipeline.stage(confirm, fused=True, dead_letters=letters)
    return pipeline.sink(Topic(job.output, used.output_type))


async def run(job: Job, meter: Meter) -> None:
    service = Service(
        MeteredBroker(job.bootstrap_servers, meter),
        [build(pipeline_of(job))],
        config=RuntimeConfig(commit_interval_seconds=COMMIT_INTERVAL_SECONDS),
    )
    await service.run(until_end=True)


if __name__ == "__main__":
    main(run)
