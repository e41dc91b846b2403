"""What was written is not written again because something else cannot be written."""

from dataclasses import replace

import pytest

from streamapp.brokers.protocols import TopicSpec
from streamapp.errors import Permanent
from streamapp.pipeline.agent import agent
from streamapp.policies.policy import dead_letter
from tests.contract.harness import Subject
from tests.contract.pipelines import QUICK, Item, Rig, eventually
from tests.kafka import unique_name


@agent
def picky(item: Item) -> Item:
    if item.n == 3:
        raise Permanent("three")
    return item


@pytest.mark.timeout(120)
async def test_outputs_are_written_once_while_the_dead_letter_topic_is_missing(
    subject: Subject,
) -> None:
    rig = Rig(subject, unique_name("run"))
    pipeline = rig.pipeline().stage(picky, on_error=dead_letter()).sink(rig.out)
    letters = rig.dead_letters("picky")
    await rig.create(pipeline)
    config = replace(QUICK, delivery_timeout_seconds=2.0)
    async with rig.running(pipeline, config=config) as service:
        [metrics] = service.metrics
        await eventually(lambda: metrics.rebalances > 0)
        async with subject.admin() as admin:
            await admin.delete_topics([letters])
        await rig.put_items([*range(3), *range(4, 50), 3])
        await eventually(lambda: metrics.producer_replacements >= 3, seconds=60)
        async with subject.admin() as admin:
            await admin.create_topics([TopicSpec(letters, 2)])
        await eventually(lambda: sum(metrics.dead_letters.values()) == 1, seconds=60)
    assert sorted(await rig.read_numbers(rig.out)) == [n for n in range(50) if n != 3]
    assert await rig.read_numbers(letters) == [3]
