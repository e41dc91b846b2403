"""A stage that reads several topics: each with its schema, its lag, its order and its counters."""

import asyncio

import orjson
import pytest
from pydantic import BaseModel

from streamapp.observability.stage_metrics import Received
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.record import TopicPartition
from streamapp.topics.topic import Topic
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig, error_headers, eventually
from tests.kafka import unique_name


class Sibling(BaseModel):
    """A value with the same fields as an `Item`."""

    n: int
    text: str = ""


@agent
def told_apart(value: Item | Sibling) -> Item:
    return Item(n=value.n, text=type(value).__name__)


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("sources"))


def second(rig: Rig) -> Topic[Sibling]:
    return Topic(f"{rig.name}.siblings", Sibling)


def both(rig: Rig) -> Pipeline[Item | Sibling, Item | Sibling]:
    return Pipeline(rig.name, source=(Topic(f"{rig.name}.in", Item), second(rig)))


async def test_bad_bytes_name_the_topic_that_they_came_from(rig: Rig) -> None:
    pipeline = both(rig).stage(told_apart).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items([1, 2])
    await rig.put([(b"k", b"{"), (b"k", b'{"n": 3}')], topic=second(rig).name)
    service = await rig.run_to_end(pipeline)
    [letter] = await rig.read(rig.dead_letters("told-apart"))
    facts = error_headers(letter)
    assert (facts["topic"], facts["offset"], facts["reason"]) == (second(rig).name, "0", "decode")
    values = [orjson.loads(record.value or b"") for record in await rig.read(rig.out)]
    assert sorted((value["n"], value["text"]) for value in values) == [
        (1, "Item"),
        (2, "Item"),
        (3, "Sibling"),
    ]
    received = service.metrics[0].received
    first = b'{"n":1,"text":""}'
    assert received == {
        f"{rig.name}.in": Received(2, 2 * len(first)),
        second(rig).name: Received(2, len(b"{") + len(b'{"n": 3}')),
    }


async def test_records_of_a_key_keep_their_order_within_each_topic(rig: Rig) -> None:
    @agent
    async def slow(value: Item | Sibling) -> Item:
        await asyncio.sleep(0.001 * (value.n % 3))
        return Item(n=value.n, text=type(value).__name__)

    pipeline = both(rig).stage(slow).sink(rig.out)
    await rig.create(pipeline, partitions=2)
    for partition in range(2):
        start = 100 * partition
        await rig.put_items(range(start, start + 30), keys=3, partition=partition)
        await rig.put(
            [(b"%d" % (n % 3), b'{"n":%d}' % n) for n in range(start, start + 30)],
            partition=partition,
            topic=second(rig).name,
        )
    await rig.run_to_end(pipeline)
    came = [orjson.loads(record.value or b"") for record in await rig.read(rig.out)]
    assert len(came) == 120
    for type_ in ("Item", "Sibling"):
        for key in range(3):
            for start in (0, 100):
                numbers = [
                    v["n"]
                    for v in came
                    if v["text"] == type_ and v["n"] % 3 == key and start <= v["n"] < start + 100
                ]
                assert numbers == sorted(numbers)
                assert len(numbers) == 10


async def test_lag_is_known_for_each_topic(rig: Rig) -> None:
    gate = asyncio.Event()

    @agent
    async def waiting(value: Item | Sibling) -> Item:
        if isinstance(value, Sibling):
            await gate.wait()
        return Item(n=value.n)

    pipeline = both(rig).stage(waiting).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(5))
    siblings = [(b"%d" % n, b'{"n":%d}' % n) for n in range(7)]
    await rig.put(siblings, topic=second(rig).name)
    async with rig.running(pipeline) as service:
        partitions = service.metrics[0].partitions

        def lags() -> dict[TopicPartition, int | None]:
            return {name: own.lag_records for name, own in partitions.items()}

        first, other = (TopicPartition(f"{rig.name}.{end}", 0) for end in ("in", "siblings"))
        await eventually(lambda: lags() == {first: 0, other: 7})
        gate.set()
        await eventually(lambda: lags() == {first: 0, other: 0})


async def test_bounded_work_ends_at_the_end_of_every_topic(rig: Rig) -> None:
    pipeline = both(rig).stage(told_apart).sink(rig.out)
    await rig.create(pipeline, partitions=2)
    await rig.put_items(range(50), partition=1)
    await rig.put([(b"k", b'{"n":7}')] * 50, topic=second(rig).name)
    await rig.run_to_end(pipeline)
    assert len(await rig.read(rig.out)) == 100
    ends = {TopicPartition(f"{rig.name}.in", 1): 50, TopicPartition(second(rig).name, 0): 50}
    assert ends.items() <= (await rig.committed("told-apart")).items()
