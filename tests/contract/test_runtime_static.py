"""Static membership at work: a worker that restarts disturbs no other."""

from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from streamapp.pipeline.agent import agent
from streamapp.record import TopicPartition
from streamapp.service import Service
from tests.contract.harness import SESSION_SECONDS, Subject
from tests.contract.pipelines import QUICK, Item, Rig, eventually
from tests.kafka import unique_name

STATIC = [
    replace(QUICK, instance_id=f"worker-{n}", session_timeout_seconds=SESSION_SECONDS)
    for n in range(2)
]


@agent
def keep(item: Item) -> Item:
    return item


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("static"))


def held(service: Service) -> set[TopicPartition]:
    return {TopicPartition(*name) for name in service.metrics[0].partitions}


@pytest.mark.parametrize("restarted", [0, 1], ids=["leader", "follower"])
async def test_a_worker_that_restarts_gets_its_partitions_back_and_the_others_keep_theirs(
    rig: Rig, restarted: int
) -> None:
    pipeline = rig.pipeline().stage(keep).sink(rig.out)
    await rig.create(pipeline, partitions=4)
    async with AsyncExitStack() as stay:
        runs = [AsyncExitStack(), AsyncExitStack()]
        for run in runs:
            stay.push_async_callback(run.aclose)
        services = [
            await run.enter_async_context(rig.running(pipeline, config=config))
            for run, config in zip(runs, STATIC, strict=True)
        ]
        await eventually(lambda: [len(held(service)) for service in services] == [2, 2])
        other = services[1 - restarted]
        before, kept, rebalances = (
            held(services[restarted]),
            held(other),
            other.metrics[0].rebalances,
        )

        await runs[restarted].aclose()
        await rig.put_items(range(10))
        again = await stay.enter_async_context(rig.running(pipeline, config=STATIC[restarted]))
        await eventually(lambda: held(again) == before)
        for partition in range(1, 4):
            await rig.put_items(range(10 * partition, 10 * partition + 10), partition=partition)
        services[restarted] = again
        await eventually(lambda: sum(s.metrics[0].processed for s in services) == 40)

        assert held(other) == kept
        assert other.metrics[0].rebalances == rebalances
    assert sorted(await rig.read_numbers(rig.out)) == list(range(40))
