"""Groups: who reads what, and where it goes on."""

import asyncio
import logging

import pytest

from streamapp.brokers.protocols import CommittedOffset, Consumer
from streamapp.errors import BrokerError, CommitRefusedError, OffsetOutOfRangeError
from streamapp.record import TopicPartition
from tests.contract.harness import (
    PATIENCE_SECONDS,
    Listener,
    Subject,
    assigned,
    fetch_until_error,
    group_of,
    numbered,
    places,
    read_values,
    until,
)
from tests.patience import within


def share(one: Consumer, other: Consumer, partitions: frozenset[TopicPartition]) -> bool:
    """Whether each of two members has half of the partitions."""
    first, second = one.assignment(), other.assignment()
    return first | second == partitions and len(first) == len(second) == len(partitions) // 2


async def test_two_members_share_the_partitions(subject: Subject) -> None:
    topic = await subject.topic(partitions=4)
    config = group_of(topic)
    async with subject.member(config) as one, subject.member(config) as two:
        await until(lambda: share(one, two, places(topic, 4)), one, two)


async def test_a_member_without_partitions_takes_over_when_another_leaves(
    subject: Subject,
) -> None:
    topic = await subject.topic()
    config = group_of(topic)
    async with subject.member(config) as heir:
        async with subject.member(config) as other:
            await until(lambda: len(heir.assignment() | other.assignment()) == 1, heir, other)
        await assigned(heir, places(topic, 1))


async def test_a_rebalance_revokes_everything_before_it_assigns(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    config, listener = group_of(topic), Listener()
    async with subject.member(config, listener) as one:
        await assigned(one, places(topic, 2))
        async with subject.member(config) as two:
            await until(lambda: share(one, two, places(topic, 2)), one, two)
            half = one.assignment()
    nothing: frozenset[TopicPartition] = frozenset()
    assert listener.calls[:4] == [
        ("revoked", nothing),
        ("assigned", places(topic, 2)),
        ("revoked", places(topic, 2)),
        ("assigned", half),
    ]


async def test_nothing_is_held_between_revocation_and_assignment(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    config = group_of(topic)
    during: list[frozenset[TopicPartition]] = []
    slow = asyncio.Event()
    one: Consumer

    async def look(_partitions: frozenset[TopicPartition]) -> None:
        during.append(one.assignment())

    async def dawdle(_partitions: frozenset[TopicPartition]) -> None:
        await slow.wait()

    one = subject.broker.consumer(config, Listener(revoking=look))
    await one.start()
    try:
        async with subject.member(config, Listener()) as two:
            await until(lambda: share(one, two, places(topic, 2)), one, two)
            two_listener = Listener(revoking=dawdle)
            async with subject.member(config, two_listener) as three:
                # `three` does not join before its first callback ends, so nothing is disturbed.
                assert three.assignment() == frozenset()
                slow.set()
        await assigned(one, places(topic, 2))
    finally:
        await one.stop()
    assert frozenset() in during
    assert any(held and held <= places(topic, 2) for held in during)


async def test_an_error_of_the_listener_is_logged_and_the_rebalance_goes_on(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await subject.topic()

    async def fail(_partitions: frozenset[TopicPartition]) -> None:
        raise ValueError("listener at fault")

    listener = Listener(revoking=fail, assigning=fail)
    await subject.write(topic, numbered(3))
    with caplog.at_level(logging.ERROR):
        async with subject.member(group_of(topic), listener) as consumer:
            assert await read_values(consumer, 3) == numbered(3)
            await until(lambda: len(listener.calls) == 2, consumer)
    assert caplog.text.count("ValueError: listener at fault") == 2


async def test_the_next_member_starts_at_the_committed_offset(subject: Subject) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    config = group_of(topic)
    await subject.write(topic, numbered(10))
    async with subject.member(config) as first:
        await assigned(first, [place])
        await read_values(first, 10)
        await first.commit({place: CommittedOffset(4)})
    async with subject.member(config) as second:
        await assigned(second, [place])
        assert await second.position(place) == 4
        assert await read_values(second, 6) == numbered(6, 4)


async def test_a_commit_moves_nothing_but_the_offset_it_names(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    zero, one = sorted(places(topic, 2))
    config = group_of(topic)
    async with subject.member(config) as consumer, subject.admin() as admin:
        await assigned(consumer, (zero, one))
        await consumer.commit({zero: CommittedOffset(3, "a"), one: CommittedOffset(5, "b")})
        await consumer.commit({one: CommittedOffset(4, "")})
        await consumer.commit({})
        assert await consumer.position(zero) == 0
        assert await admin.committed_offsets(config.group) == {
            zero: CommittedOffset(3, "a"),
            one: CommittedOffset(4, ""),
        }


async def test_metadata_of_a_commit_has_at_most_4096_bytes(subject: Subject) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    config = group_of(topic)
    async with subject.member(config) as consumer, subject.admin() as admin:
        await assigned(consumer, [place])
        longest = CommittedOffset(1, "m" * 4096)
        await consumer.commit({place: longest})
        with pytest.raises(BrokerError, match=config.group) as caught:
            await consumer.commit({place: CommittedOffset(2, "m" * 4097)})
        assert not isinstance(caught.value, CommitRefusedError)
        assert await admin.committed_offsets(config.group) == {place: longest}


async def test_offsets_can_be_committed_while_partitions_are_revoked(subject: Subject) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    config = group_of(topic)
    one: Consumer

    async def commit(partitions: frozenset[TopicPartition]) -> None:
        if partitions:
            await one.commit({place: CommittedOffset(7)})

    one = subject.broker.consumer(config, Listener(revoking=commit))
    await one.start()
    try:
        await assigned(one, [place])
        async with subject.member(config) as two, subject.admin() as admin:
            await until(lambda: len(one.assignment() | two.assignment()) == 1, one, two)
            committed: dict[TopicPartition, CommittedOffset] = {}
            async with within(PATIENCE_SECONDS, "a commit"):
                while not committed:
                    await asyncio.sleep(0.01)
                    committed = dict(await admin.committed_offsets(config.group))
            assert committed == {place: CommittedOffset(7)}
    finally:
        await one.stop()


async def test_what_is_not_held_cannot_be_committed(subject: Subject) -> None:
    topic = await subject.topic()
    async with subject.member(group_of(topic)) as consumer:
        await assigned(consumer, places(topic, 1))
        with pytest.raises(CommitRefusedError, match="does not hold"):
            await consumer.commit({TopicPartition(topic, 9): CommittedOffset(1)})


async def test_a_member_that_gives_nothing_back_in_time_is_evicted_and_cannot_commit(
    subject: Subject,
) -> None:
    topic = await subject.topic()
    (place,) = places(topic, 1)
    config = group_of(topic, rebalance_timeout_seconds=1.0)
    refusals: list[CommitRefusedError] = []
    taken_over = asyncio.Event()
    slow: Consumer

    async def dawdle(partitions: frozenset[TopicPartition]) -> None:
        if partitions and not refusals:
            async with within(PATIENCE_SECONDS, "another member to take over"):
                await taken_over.wait()
            try:
                await slow.commit({place: CommittedOffset(9)})
            except CommitRefusedError as error:
                refusals.append(error)

    slow = subject.broker.consumer(config, Listener(revoking=dawdle))
    await slow.start()
    try:
        await assigned(slow, [place])
        async with subject.member(config) as heir, subject.admin() as admin:
            await until(lambda: heir.assignment() == {place}, heir)
            await heir.commit({place: CommittedOffset(2)})
            taken_over.set()
            await until(lambda: bool(refusals), heir)
            committed = await admin.committed_offsets(config.group)
            assert committed == {place: CommittedOffset(2)}
            # It comes back as a new member.
            await until(lambda: len(heir.assignment() | slow.assignment()) == 1, heir, slow)
    finally:
        await slow.stop()
    assert config.group in str(refusals[0])


async def test_polling_for_nothing_keeps_a_member_and_silence_ends_it(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    config = group_of(topic, max_poll_interval_seconds=2.0)
    async with subject.member(config) as polling, subject.member(config) as silent:
        await until(lambda: share(polling, silent, places(topic, 2)), polling, silent)
        # From here on only one of them polls, and for nothing.
        await until(lambda: polling.assignment() == places(topic, 2), polling)
        # The other comes back when it polls again.
        await until(lambda: share(polling, silent, places(topic, 2)), polling, silent)


async def test_silence_ends_a_member_also_after_a_fetch_that_failed(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    config = group_of(topic, max_poll_interval_seconds=2.0)
    async with subject.member(config) as polling, subject.member(config) as silent:
        await until(lambda: share(polling, silent, places(topic, 2)), polling, silent)
        (place,) = silent.assignment()
        silent.seek(place, 99)
        with pytest.raises(OffsetOutOfRangeError):
            await fetch_until_error(silent, place)
        cancelled = asyncio.create_task(silent.fetch((), max_records=1, timeout_seconds=60))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        await until(lambda: polling.assignment() == places(topic, 2), polling)


async def test_a_fetch_ends_in_time_while_the_group_rebalances(subject: Subject) -> None:
    topic = await subject.topic()
    config = group_of(topic)
    go_on, revoking = asyncio.Event(), asyncio.Event()

    async def dawdle(partitions: frozenset[TopicPartition]) -> None:
        if partitions:
            revoking.set()
            async with within(PATIENCE_SECONDS, "the fetch that goes on beside a callback"):
                await go_on.wait()

    async with subject.member(config, Listener(revoking=dawdle)) as one:
        await assigned(one, places(topic, 1))
        async with subject.member(config):
            await until(revoking.is_set, one)
            async with within(5, "a fetch during a rebalance"):
                fetched = await one.fetch(one.assignment(), max_records=1, timeout_seconds=0.1)
            assert fetched == {}
            go_on.set()


async def test_groups_do_not_disturb_each_other(subject: Subject) -> None:
    topic = await subject.topic()
    await subject.write(topic, numbered(5))
    async with (
        subject.member(group_of(topic)) as one,
        subject.member(group_of(topic)) as two,
    ):
        assert await read_values(one, 5) == await read_values(two, 5) == numbered(5)


async def test_a_static_member_comes_back_without_a_rebalance(subject: Subject) -> None:
    topic = await subject.topic(partitions=2)
    base = group_of(topic)
    witness = Listener()
    async with subject.member(base, witness) as other:
        await assigned(other, places(topic, 2))
        static = type(base)(
            group=base.group,
            topics=base.topics,
            session_timeout_seconds=base.session_timeout_seconds,
            group_instance_id="worker-1",
        )
        async with subject.member(static) as first:
            await until(lambda: share(other, first, places(topic, 2)), other, first)
            held = first.assignment()
            last = ("assigned", other.assignment())
            await until(lambda: witness.calls[-1] == last, other, first)  # told after it holds them
        calls = len(witness.calls)
        async with subject.member(static) as again:
            await assigned(again, held)
            assert len(witness.calls) == calls
