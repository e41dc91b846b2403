"""The lookup in a compacted topic: what it knows at its start, and what it learns later."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from streamapp.brokers.protocols import ConsumerConfig
from streamapp.errors import StageError
from streamapp.policies.policy import dead_letter
from streamapp.record import TopicPartition
from tests.contract.harness import Subject
from tests.contract.pipelines import Rig, eventually
from tests.kafka import unique_name
from tests.unit.agents.built import built

COMPACTED = {"cleanup_policy": "compact"}


@pytest.fixture
def rig(subject: Subject) -> Rig:
    return Rig(subject, unique_name("lookup"))


def _pipeline(rig: Rig, topic: str, **settings: Any) -> Any:
    configuration = {"topic": topic, "key": "title", "into": "name", **settings}
    agent = built("TopicLookup", configuration)
    return rig.pipeline(dict[str, Any]).stage(agent, on_error=dead_letter()).sink(rig.out)


def _events(*titles: str) -> list[tuple[bytes | None, bytes | None]]:
    return [(None, json.dumps({"title": title}).encode()) for title in titles]


def _names(records: Iterable[Any]) -> list[Any]:
    return [json.loads(record.value)["name"] for record in records]


async def test_what_stands_in_the_topic_is_known_from_the_first_record_on(rig: Rig) -> None:
    topic = await rig.subject.topic(2, **COMPACTED)
    await rig.put([(b"t1", b'"old"'), (b"t2", b'"gone"')], topic=topic)
    await rig.put([(b"t3", b'{"de": "Drei"}')], topic=topic, partition=1)
    await rig.put([(b"t1", b'"new"'), (b"t2", None)], topic=topic)
    pipeline = _pipeline(rig, topic, if_missing="default", default="nothing")
    await rig.create(pipeline, partitions=1)
    await rig.put(_events("t1", "t2", "t3"))
    await rig.run_to_end(pipeline)
    assert _names(await rig.read(rig.out)) == ["new", "nothing", {"de": "Drei"}]


async def test_what_is_written_later_is_known_soon(rig: Rig) -> None:
    topic = await rig.subject.topic(1, **COMPACTED)
    pipeline = _pipeline(rig, topic, if_missing="default", default="nothing")
    await rig.create(pipeline, partitions=1)
    async with rig.running(pipeline):

        async def becomes(name: str) -> None:
            async def is_known() -> bool:
                await rig.put(_events("t1"))
                return name in _names(await rig.read(rig.out))[-1:]

            await eventually(is_known)

        await becomes("nothing")
        await rig.put([(b"t1", b'"one"')], topic=topic)
        await becomes("one")
        await rig.put([(b"t1", None)], topic=topic)
        await becomes("nothing")


async def test_it_commits_nothing_and_leaves_no_group_with_offsets(rig: Rig) -> None:
    topic = await rig.subject.topic(1, **COMPACTED)
    await rig.put([(b"t1", b'"one"')], topic=topic)
    pipeline = _pipeline(rig, topic)
    await rig.create(pipeline, partitions=1)
    await rig.run_to_end(pipeline)
    async with rig.subject.admin() as admin:
        groups = [name for name in await admin.list_groups() if name.startswith("streamapp.lookup")]
        assert not any([await admin.committed_offsets(group) for group in groups])
    config = ConsumerConfig(group=unique_name("group"), topics=(topic,))
    async with rig.subject.member(config) as consumer:
        assert await consumer.end_offsets([TopicPartition(topic, 0)])


@pytest.mark.parametrize(
    ("config", "settings", "why"),
    [
        (None, {}, "there is no topic"),
        ({}, {}, "is not compacted"),
        (COMPACTED, {"max_bytes": 10}, "are larger than max_bytes, 10"),
    ],
)
async def test_a_topic_that_cannot_be_used_keeps_the_service_from_starting(
    rig: Rig, config: dict[str, str] | None, settings: dict[str, Any], why: str
) -> None:
    topic = "missing-topic"
    if config is not None:
        topic = await rig.subject.topic(1, **config)
        await rig.put([(b"title", b'"a name"')], topic=topic)
    pipeline = _pipeline(rig, topic, **settings)
    await rig.create(pipeline, partitions=1)
    with pytest.raises(StageError, match=why):
        await rig.run_to_end(pipeline)
