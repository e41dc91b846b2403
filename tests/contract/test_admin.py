"""Topics and what groups have committed."""

import pytest

from streamapp.brokers.protocols import CLIENT_ID, CommittedOffset, TopicSpec
from streamapp.errors import CommitRefusedError, OffsetOutOfRangeError, TopicError
from streamapp.record import TopicPartition
from tests.contract.harness import Subject, assigned, group_of, numbered, places, read_values
from tests.kafka import unique_name


async def test_a_topic_is_described_as_it_was_created_with_effective_configuration(
    subject: Subject,
) -> None:
    topic = await subject.topic(partitions=3, max_message_bytes="12345", cleanup_policy="compact")
    async with subject.admin() as admin:
        assert topic in await admin.list_topics()
        described = await admin.describe_topics([topic, "no-such-topic"])
    assert set(described) == {topic}
    assert described[topic].partitions == 3
    assert described[topic].replication_factor == 1
    assert described[topic].max_message_bytes == 12345
    assert described[topic].config["cleanup.policy"] == "compact"


async def test_defaults_are_those_of_kafka(subject: Subject) -> None:
    topic = unique_name("contract")
    async with subject.admin() as admin:
        await admin.create_topics([TopicSpec(topic, 1)])
        config = (await admin.describe_topics([topic]))[topic].config
    assert config["max.message.bytes"] == "1048588"
    assert config["retention.ms"] == "604800000"
    assert config["cleanup.policy"] == "delete"


async def test_a_topic_that_exists_cannot_be_created_again(subject: Subject) -> None:
    topic, other = await subject.topic(), unique_name("contract")
    async with subject.admin() as admin:
        with pytest.raises(TopicError, match=topic):
            await admin.create_topics([TopicSpec(topic, 1), TopicSpec(other, 1)])
        assert other in await admin.list_topics()


@pytest.mark.parametrize(
    "spec",
    [
        TopicSpec("no/slash", 1),
        TopicSpec("no-partitions", 0),
        TopicSpec("bad-name", 1, config={"no.such.setting": "1"}),
        TopicSpec("bad-value", 1, config={"retention.ms": "soon"}),
    ],
    ids=lambda spec: spec.name,
)
async def test_a_declaration_that_is_wrong_is_refused(subject: Subject, spec: TopicSpec) -> None:
    async with subject.admin() as admin:
        with pytest.raises(TopicError, match=spec.name):
            await admin.create_topics([spec])
        assert spec.name not in await admin.list_topics()


async def test_partitions_are_added_and_never_taken_away(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    async with subject.admin() as admin:
        await admin.add_partitions(topic, 4)
        assert (await admin.describe_topics([topic]))[topic].partitions == 4
        for total in (4, 3):
            with pytest.raises(TopicError, match=topic):
                await admin.add_partitions(topic, total)
        with pytest.raises(TopicError, match="no-such-topic"):
            await admin.add_partitions("no-such-topic", 2)
    await subject.write(topic, [b""], partition=3)


async def test_changing_one_value_leaves_the_others(subject: Subject) -> None:
    topic = await subject.topic(max_message_bytes="12345", retention_ms="1000")
    async with subject.admin() as admin:
        await admin.alter_topic_config(topic, {"retention.ms": "2000"})
        config = (await admin.describe_topics([topic]))[topic].config
        assert (config["retention.ms"], config["max.message.bytes"]) == ("2000", "12345")
        with pytest.raises(TopicError, match=topic):
            await admin.alter_topic_config(topic, {"no.such.setting": "1"})
        with pytest.raises(TopicError, match="no-such-topic"):
            await admin.alter_topic_config("no-such-topic", {"retention.ms": "1"})


async def test_a_deleted_topic_is_gone(subject: Subject) -> None:
    topic = await subject.topic()
    async with subject.admin() as admin:
        await admin.delete_topics([topic])
        assert topic not in await admin.list_topics()
        with pytest.raises(TopicError, match=topic):
            await admin.delete_topics([topic])


async def test_deleting_records_moves_the_start_of_the_log(subject: Subject) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    await subject.write(topic, numbered(10))
    async with subject.admin() as admin:
        await admin.delete_records({place: 4})
        assert await admin.beginning_offsets([place]) == {place: 4}
        assert await admin.end_offsets([place]) == {place: 10}
        with pytest.raises(OffsetOutOfRangeError) as caught:
            await admin.delete_records({place: 11})
        assert caught.value.offsets == {place: 11}


async def test_offsets_of_a_partition_that_is_not_there_are_an_error(subject: Subject) -> None:
    topic = await subject.topic()
    async with subject.admin() as admin:
        assert await admin.end_offsets([]) == {}
        for missing in (TopicPartition(topic, 1), TopicPartition("no-such-topic", 0)):
            with pytest.raises(TopicError, match=missing.topic):
                await admin.end_offsets([missing])
            with pytest.raises(TopicError, match=missing.topic):
                await admin.beginning_offsets([missing])


async def test_committed_offsets_are_read_with_their_metadata(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    config = group_of(topic)
    async with subject.admin() as admin:
        assert await admin.committed_offsets(config.group) == {}
        async with subject.member(config) as consumer:
            await assigned(consumer, places(topic, 2))
            committed = {TopicPartition(topic, 1): CommittedOffset(7, "done: 9-11")}
            await consumer.commit(committed)
        assert await admin.committed_offsets(config.group) == committed


async def test_groups_are_listed_while_they_have_offsets_or_members(subject: Subject) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    config, other = group_of(topic), group_of(topic)
    async with subject.admin() as admin:
        assert not {config.group, other.group} & await admin.list_groups()
        assert await admin.member_count(config.group) == 0
        async with subject.member(config) as consumer:
            await assigned(consumer, [place])
            assert config.group in await admin.list_groups()
            assert await admin.member_count(config.group) == 1
            [member] = await admin.members(config.group)
            assert member.client_id == CLIENT_ID
            assert member.partitions == frozenset({place})
            assert await admin.subscribed_topics(config.group) == {topic}
            await consumer.commit({place: CommittedOffset(3)})
        assert await admin.member_count(config.group) == 0
        assert not await admin.members(config.group)
        assert not await admin.subscribed_topics(config.group)
        await admin.set_offsets(other.group, {place: CommittedOffset(1)})
        assert {config.group, other.group} <= await admin.list_groups()


async def test_offsets_are_set_for_a_group_that_has_never_had_a_member(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    one, two = sorted(places(topic, 2))
    await subject.write(topic, numbered(5), partition=0)
    await subject.write(topic, numbered(5, start=5), partition=1)
    config = group_of(topic)
    offsets = {one: CommittedOffset(4, "done: 6"), two: CommittedOffset(3)}
    async with subject.admin() as admin:
        await admin.set_offsets(config.group, {})
        await admin.set_offsets(config.group, offsets)
        assert await admin.committed_offsets(config.group) == offsets
        async with subject.member(config) as consumer:
            await assigned(consumer, [one, two])
            assert (await consumer.position(one), await consumer.position(two)) == (4, 3)
            values = await read_values(consumer, 3)
            assert sorted(value or b"" for value in values) == [b"4", b"8", b"9"]


async def test_offsets_of_a_group_with_members_are_theirs_alone(subject: Subject) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    config = group_of(topic)
    async with subject.admin() as admin:
        async with subject.member(config) as consumer:
            await assigned(consumer, [place])
            await consumer.commit({place: CommittedOffset(5)})
            with pytest.raises(CommitRefusedError, match=config.group):
                await admin.set_offsets(config.group, {place: CommittedOffset(0)})
        assert await admin.committed_offsets(config.group) == {place: CommittedOffset(5)}
        await admin.set_offsets(config.group, {place: CommittedOffset(6)})
        assert await admin.committed_offsets(config.group) == {place: CommittedOffset(6)}
