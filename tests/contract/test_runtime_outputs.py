"""Agents on a broker: what they give is what comes out."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from streamapp.errors import TopicError
from streamapp.pipeline.agent import agent
from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out
from streamapp.topics.topic import Topic
from tests.contract.harness import Subject
from tests.contract.pipelines import Item, Rig
from tests.kafka import unique_name


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("run"))


@agent
def same(item: Item) -> Item:
    return item


async def test_key_headers_and_timestamp_are_kept(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(same).sink(rig.out)
    await rig.create(pipeline)
    # Of an hour ago: what is older than the topic's retention is soon deleted.
    an_hour_ago_ms = int((time.time() - 3600) * 1000)
    await rig.put(
        [(b"k", b'{"n": 1}')], headers=[("h", b"1"), ("h", b"2")], timestamp=an_hour_ago_ms
    )
    await rig.run_to_end(pipeline)
    [record] = await rig.read(rig.out)
    assert (record.key, list(record.headers), record.timestamp) == (
        b"k",
        [("h", b"1"), ("h", b"2")],
        an_hour_ago_ms,
    )


async def test_none_is_filtered_and_counted(rig: Rig) -> None:
    @agent
    def odd(item: Item) -> Item | None:
        return item if item.n % 2 else None

    pipeline = rig.pipeline().stage(odd).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(10))
    service = await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == [1, 3, 5, 7, 9]
    assert (service.metrics[0].processed, service.metrics[0].filtered) == (5, 5)


async def test_many_outputs_keep_their_order(rig: Rig) -> None:
    @agent
    def as_list(item: Item) -> list[Item]:
        return [Item(n=item.n * 10 + i) for i in range(3)]

    @agent
    def as_iterator(item: Item) -> Iterator[Item]:
        yield Item(n=item.n * 10)
        yield Item(n=item.n * 10 + 1)

    @agent
    async def as_async_iterator(item: Item) -> AsyncIterator[Item]:
        yield item
        yield item

    pipeline = (
        rig.pipeline().stage(as_list).stage(as_iterator).stage(as_async_iterator).sink(rig.out)
    )
    await rig.create(pipeline)
    await rig.put_items([1, 2], keys=1)
    await rig.run_to_end(pipeline)
    expected = [n * 100 + i * 10 + j for n in (1, 2) for i in range(3) for j in (0, 1)]
    assert await rig.read_numbers(rig.out) == [n for n in expected for _ in range(2)]


async def test_out_changes_key_headers_and_route(rig: Rig) -> None:
    @agent
    def split(item: Item) -> list[Out[Item]]:
        return [
            Out(item, key=f"new-{item.n}", headers=[("made", b"here")]),
            Out(item, key=None, to="alerts"),
        ]

    alerts = f"{rig.name}.alerts"
    pipeline = rig.pipeline().stage(split, routes={"alerts": Topic(alerts, Item)}).sink(rig.out)
    await rig.create(pipeline)
    await rig.put([(b"old", b'{"n": 1}')], headers=[("old", b"1")])
    await rig.run_to_end(pipeline)
    [record] = await rig.read(rig.out)
    assert (record.key, list(record.headers)) == (b"new-1", [("made", b"here")])
    [alert] = await rig.read(alerts)
    assert (alert.key, list(alert.headers)) == (None, [("old", b"1")])


async def test_an_agent_object_is_opened_and_closed_once_for_each_worker(rig: Rig) -> None:
    calls: list[str] = []

    class Client:
        async def open(self) -> None:
            calls.append("open")

        async def close(self) -> None:
            calls.append("close")

        async def __call__(self, item: Item) -> Item:
            calls.append("call")
            return item

    client = agent(Client())
    pipeline = rig.pipeline().stage(client, name="a").stage(client, name="b").sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items(range(2))
    await rig.run_to_end(pipeline)
    assert calls == ["open", "call", "call", "call", "call", "close"]


async def test_a_context_tells_the_record_and_the_attempt(rig: Rig) -> None:
    seen: list[tuple[str, str, int, int, bytes | None]] = []

    @agent
    def note(item: Item, context: Context) -> Item:
        place = (context.pipeline_id, context.stage_id, context.record.offset)
        seen.append((*place, context.attempt, context.key))
        return item

    pipeline = rig.pipeline().stage(note).sink(rig.out)
    await rig.create(pipeline)
    await rig.put([(b"k", b'{"n": 1}')])
    await rig.run_to_end(pipeline)
    assert seen == [(rig.name, "note", 0, 1, b"k")]


async def test_untyped_json_flows_as_well(rig: Rig) -> None:
    @agent
    def parsed(value: dict[str, Any]) -> dict[str, Any]:
        return {"n": value["n"] + 1}

    pipeline = rig.pipeline(dict).stage(parsed).sink(rig.out)
    await rig.create(pipeline)
    await rig.put_items([1])
    await rig.run_to_end(pipeline)
    assert await rig.read_numbers(rig.out) == [2]


async def test_bounded_work_ends_at_a_gap_and_leaves_later_records_alone(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(same).sink(rig.out)
    await rig.create(pipeline, partitions=1)
    await rig.put_items(range(5))
    await rig.subject.open_gap(rig.first_partition())
    await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == [0, 1, 2, 3, 4]
    await rig.put_items(range(5, 8))
    await rig.run_to_end(pipeline)
    assert sorted(await rig.read_numbers(rig.out)) == list(range(8))


async def test_a_missing_topic_is_named_before_anything_starts(rig: Rig) -> None:
    pipeline = rig.pipeline().stage(same).sink(rig.out)
    with pytest.raises(TopicError, match=rf"missing topics: {rig.name}.in, {rig.out}"):
        await rig.run_to_end(pipeline)
