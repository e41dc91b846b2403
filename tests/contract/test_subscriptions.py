"""Members that change the topics they read: nothing is lost, nothing is owned twice."""

import pytest

from streamapp.brokers.protocols import CommittedOffset, ConsumerConfig
from streamapp.record import TopicPartition
from tests.contract.harness import (
    SESSION_SECONDS,
    Listener,
    Subject,
    assigned,
    numbered,
    places,
    read_values,
    until,
)
from tests.kafka import unique_name


def config_of(*topics: str) -> ConsumerConfig:
    return ConsumerConfig(
        group=unique_name("group"), topics=topics, session_timeout_seconds=SESSION_SECONDS
    )


async def test_a_member_reads_a_further_topic_from_its_beginning(subject: Subject) -> None:
    first, further = await subject.topic(), await subject.topic(2)
    await subject.write(further, numbered(3), partition=1)
    async with subject.member(config_of(first)) as member:
        await assigned(member, places(first, 1))
        member.subscribe({first, further})
        await member.request_rebalance()
        await assigned(member, places(first, 1) | places(further, 2))
        assert await read_values(member, 3) == numbered(3)


async def test_what_is_finished_is_committed_while_topics_change(subject: Subject) -> None:
    first, further = await subject.topic(), await subject.topic()
    await subject.write(first, numbered(4))
    place, listener = TopicPartition(first, 0), Listener()
    config = config_of(first)
    async with subject.member(config, listener) as member:
        await assigned(member, {place})
        assert await read_values(member, 4) == numbered(4)

        async def commit(held: frozenset[TopicPartition]) -> None:
            if held:
                await member.commit({place: CommittedOffset(4)})

        listener.revoking = commit
        member.subscribe({first, further})
        await member.request_rebalance()
        wanted = frozenset({place, TopicPartition(further, 0)})
        await until(lambda: listener.calls[-1] == ("assigned", wanted), member)
        assert member.committed(place) == CommittedOffset(4)
    async with subject.admin() as admin:
        assert (await admin.committed_offsets(config.group))[place].offset == 4


async def test_topics_given_during_a_revocation_count_for_that_rebalance(subject: Subject) -> None:
    first, further = await subject.topic(), await subject.topic()
    listener = Listener()
    async with subject.member(config_of(first), listener) as member:
        await assigned(member, places(first, 1))

        async def add(_: frozenset[TopicPartition]) -> None:
            member.subscribe({first, further})

        listener.revoking = add
        await member.request_rebalance()
        await assigned(member, places(first, 1) | places(further, 1))
    kinds = [kind for kind, _ in listener.calls]
    assert kinds.count("assigned") == 2


@pytest.mark.parametrize("leads", [True, False], ids=["the leader", "another member"])
async def test_one_member_that_knows_a_further_topic_gets_all_of_it(
    subject: Subject, *, leads: bool
) -> None:
    first, further = await subject.topic(2), await subject.topic(3)
    config = config_of(first)
    async with subject.member(config) as one, subject.member(config) as two:
        await until(lambda: len(one.assignment()) == len(two.assignment()) == 1, one, two)
        knowing, other = (one, two) if leads else (two, one)
        knowing.subscribe({first, further})
        await knowing.request_rebalance()
        new = places(further, 3)
        await until(lambda: new <= knowing.assignment(), one, two)
        await until(lambda: one.assignment() | two.assignment() == places(first, 2) | new, one, two)
        assert not one.assignment() & two.assignment()
        assert not other.assignment() & new
        other.subscribe({first, further})
        await other.request_rebalance()
        await until(lambda: bool(other.assignment() & new), one, two)
        await until(lambda: one.assignment() | two.assignment() == places(first, 2) | new, one, two)
        assert not one.assignment() & two.assignment()


async def test_a_member_without_topics_waits_for_some(subject: Subject) -> None:
    topic, listener = await subject.topic(2), Listener()
    await subject.write(topic, numbered(2))
    async with subject.member(config_of(), listener) as member:
        await until(lambda: ("assigned", frozenset()) in listener.calls, member)
        member.subscribe([topic])
        await member.request_rebalance()
        await assigned(member, places(topic, 2))
        assert await read_values(member, 2) == numbered(2)


async def test_a_topic_is_let_go_and_the_others_are_kept(subject: Subject) -> None:
    kept, gone = await subject.topic(), await subject.topic()
    async with subject.member(config_of(kept, gone)) as member:
        await assigned(member, places(kept, 1) | places(gone, 1))
        async with subject.admin() as admin:
            await admin.delete_topics([gone])
        member.subscribe([kept])
        await member.request_rebalance()
        await assigned(member, places(kept, 1))
        await subject.write(kept, numbered(1))
        assert await read_values(member, 1) == numbered(1)
        member.subscribe([])
        await member.request_rebalance()
        await assigned(member, frozenset())


async def test_a_member_that_wants_nothing_else_asks_for_no_rebalance(subject: Subject) -> None:
    topic = await subject.topic(2)
    config, listener = config_of(topic), Listener()
    async with subject.member(config) as one, subject.member(config, listener) as two:
        await until(lambda: len(one.assignment()) == len(two.assignment()) == 1, one, two)
        await until(lambda: listener.calls[-1][0] == "assigned", one, two)
        before = len(listener.calls)
        two.subscribe([topic])
        await two.request_rebalance()
        await subject.write(topic, numbered(1), partition=next(iter(two.assignment())).partition)
        assert await read_values(two, 1) == numbered(1)
        assert len(listener.calls) == before


async def test_offsets_of_a_deleted_topic_do_not_keep_others_from_being_stored(
    subject: Subject,
) -> None:
    kept, gone = await subject.topic(), await subject.topic()
    config, listener = config_of(kept, gone), Listener()
    async with subject.member(config, listener) as member, subject.admin() as admin:
        await until(lambda: listener.calls[-1:] != [] and len(listener.calls[-1][1]) == 2, member)

        committed: list[frozenset[TopicPartition]] = []

        async def commit(held: frozenset[TopicPartition]) -> None:
            await member.commit(dict.fromkeys(held, CommittedOffset(0)))
            committed.append(held)

        listener.revoking = commit
        await admin.delete_topics([gone])
        member.subscribe([kept])
        await member.request_rebalance()
        await assigned(member, places(kept, 1))
        stored = await admin.committed_offsets(config.group)
        assert stored == {TopicPartition(kept, 0): CommittedOffset(0)}
        assert committed[0] == places(kept, 1) | places(gone, 1)  # without an error
