"""Records that are delivered again pass the deduplicator, and duplicates stay out."""

from typing import Any

from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import build
from streamapp.topics.topic import Topic
from tests.unit.agents.built import built
from tests.unit.runtime.faults import running, until_committed
from tests.unit.runtime.virtual import broker_for, in_virtual_time, service

VALUES = [b'{"id":%d}' % n for n in range(20)]


@in_virtual_time
async def test_a_batch_that_cannot_be_written_costs_no_record() -> None:
    agent = built("Deduplicator", {"key": "id"})
    topology = build(
        Pipeline("p", source=Topic("p-in", dict[str, Any]))
        .stage(agent, name="stage")
        .sink(Topic("p-out", dict[str, Any]))
    )
    broker = await broker_for("p")
    broker.fail_batches["p-out"] = 3
    async with running(service(broker, topology)):
        twice = [*VALUES, *VALUES]
        await broker.write("p-in", *((value, value) for value in twice))
        await until_committed(broker, "p.stage", len(twice))
    assert broker.fired["p-out"] == 3, "no batch has failed"
    assert broker.values("p-out") == VALUES
