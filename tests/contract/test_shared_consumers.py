"""Views of one consumer: each has topics of its own, and keeps what a consumer promises."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from streamapp.brokers.protocols import CommittedOffset, Consumer, ConsumerConfig
from streamapp.brokers.shared.broker import SharedBroker
from streamapp.brokers.shared.view import View
from streamapp.clock import SystemClock
from streamapp.errors import BrokerError, CommitRefusedError
from streamapp.record import TopicPartition
from tests.contract.harness import (
    PATIENCE_SECONDS,
    SESSION_SECONDS,
    Listener,
    Subject,
    numbered,
    places,
    read_values,
    until,
)
from tests.kafka import unique_name
from tests.patience import within


def config(group: str, topic: str) -> ConsumerConfig:
    return ConsumerConfig(group=group, topics=(topic,), session_timeout_seconds=SESSION_SECONDS)


class Pair:
    """Two topics that one member reads, with a view of each."""

    def __init__(self, subject: Subject, first: str, second: str, group: str) -> None:
        self.subject = subject
        self.topics = (first, second)
        self.group = group
        self.listeners = (Listener(), Listener())
        self.broker = SharedBroker(subject.broker, SystemClock())
        self.views = tuple(
            self.broker.consumer(config(group, topic), listener)
            for topic, listener in zip(self.topics, self.listeners, strict=True)
        )

    async def all_assigned(self) -> None:
        """Wait until the callbacks of an assignment have been made."""

        def are_told() -> bool:
            ends = [("assigned", places(topic, 1)) for topic in self.topics]
            return [one.calls[-1:] for one in self.listeners] == [[end] for end in ends]

        await until(are_told, *self.views)

    async def committed(self) -> dict[str, int]:
        async with self.subject.admin() as admin:
            offsets = await admin.committed_offsets(self.group)
        return {place.topic: one.offset for place, one in offsets.items()}


@asynccontextmanager
async def pair(subject: Subject, group: str | None = None, *topics: str) -> AsyncIterator[Pair]:
    first, second = topics or (await subject.topic(), await subject.topic())
    made = Pair(subject, first, second, group or unique_name("bundle"))
    for view in made.views:
        await view.start()
    try:
        await made.all_assigned()
        yield made
    finally:
        for view in made.views:
            await view.stop()


async def test_a_view_gets_its_own_topics_and_none_of_the_others(subject: Subject) -> None:
    async with pair(subject) as both:
        for topic, count in zip(both.topics, (3, 5), strict=True):
            await subject.write(topic, numbered(count))
        assert await read_values(both.views[1], 5) == numbered(5)
        assert await read_values(both.views[0], 3) == numbered(3)
        for topic, listener in zip(both.topics, both.listeners, strict=True):
            own = places(topic, 1)
            assert ("assigned", own) in listener.calls
            assert {partitions for _, partitions in listener.calls} <= {own, frozenset()}


async def test_records_of_a_view_that_does_not_fetch_hold_no_other_back(subject: Subject) -> None:
    async with pair(subject) as both:
        idle, busy = both.views
        await subject.write(both.topics[0], numbered(50))
        for start in range(0, 30, 10):
            await subject.write(both.topics[1], numbered(10, start))
            assert await read_values(busy, 10) == numbered(10, start)
        assert await read_values(idle, 50) == numbered(50)


async def test_a_fetch_that_waits_ends_when_records_of_its_own_come(subject: Subject) -> None:
    async with pair(subject) as both:
        [place] = both.views[0].assignment()
        waiting = asyncio.create_task(
            both.views[0].fetch([place], max_records=9, timeout_seconds=PATIENCE_SECONDS)
        )
        await asyncio.sleep(0)
        await subject.write(both.topics[1], numbered(1))
        await read_values(both.views[1], 1)
        assert not waiting.done()
        await subject.write(both.topics[0], numbered(2))
        async with within(PATIENCE_SECONDS / 2, "the records"):
            fetched = await waiting
        assert [record.value for record in fetched[place]] == numbered(2)


async def test_what_views_commit_the_next_member_resumes_at(subject: Subject) -> None:
    async with pair(subject) as both:
        for topic in both.topics:
            await subject.write(topic, numbered(5))
        for view, offset in zip(both.views, (2, 4), strict=True):
            await read_values(view, 5)
            [place] = view.assignment()
            await view.commit({place: CommittedOffset(offset, f"note {offset}")})
        assert await both.committed() == dict(zip(both.topics, (2, 4), strict=True))
    async with pair(subject, both.group, *both.topics) as again:
        for view, offset in zip(again.views, (2, 4), strict=True):
            [place] = view.assignment()
            assert view.committed(place) == CommittedOffset(offset, f"note {offset}")
            assert await read_values(view, 5 - offset) == numbered(5 - offset, offset)


async def test_partitions_of_a_view_that_stops_stay_unread_until_another_member_comes(
    subject: Subject,
) -> None:
    async with pair(subject) as both:
        stopped, other = both.views
        await stopped.stop()
        for topic in both.topics:
            await subject.write(topic, numbered(3))
        assert await read_values(other, 3) == numbered(3)
        with pytest.raises(BrokerError, match="not running"):
            await stopped.fetch(places(both.topics[0], 1), max_records=9, timeout_seconds=0)
        assert both.topics[0] not in await both.committed()
    async with pair(subject, both.group, *both.topics) as again:
        assert await read_values(again.views[0], 3) == numbered(3)


async def test_a_view_that_comes_back_has_all_join_again(subject: Subject) -> None:
    async with pair(subject) as both:
        back, other = both.views
        for topic in both.topics:
            await subject.write(topic, numbered(4))
        await read_values(back, 4)
        await read_values(other, 4)
        [place] = back.assignment()
        await back.commit({place: CommittedOffset(3)})
        before = len(both.listeners[1].calls)
        await back.stop()
        await back.start()
        await both.all_assigned()
        assert back.committed(place) == CommittedOffset(3)  # as the group has it now
        assert await read_values(back, 1) == numbered(1, 3)
        assert await read_values(other, 4) == numbered(4)  # it has committed nothing
        kinds = [kind for kind, _ in both.listeners[1].calls[before:]]
        assert (kinds[0], kinds[-1]) == ("revoked", "assigned")


async def test_another_view_goes_on_in_the_place_of_one_that_has_left(subject: Subject) -> None:
    async with pair(subject) as both:
        gone, other = both.views
        for topic in both.topics:
            await subject.write(topic, numbered(4))
        await read_values(gone, 4)
        [place] = gone.assignment()
        await gone.commit({place: CommittedOffset(3)})
        with pytest.raises(BrokerError, match="two readers of topic"):
            both.broker.consumer(config(both.group, both.topics[0]), both.listeners[0])
        await gone.stop()
        new = both.broker.consumer(config(both.group, both.topics[0]), both.listeners[0])
        both.views = (new, other)
        await new.start()
        await both.all_assigned()
        assert new.committed(place) == CommittedOffset(3)  # as the group has it now
        assert await read_values(new, 1) == numbered(1, 3)
        assert await read_values(other, 4) == numbered(4)  # it has committed nothing
        with pytest.raises(BrokerError, match="not running"):
            await gone.fetch([place], max_records=9, timeout_seconds=0)


async def test_another_view_may_take_the_place_of_one_that_has_never_started(
    subject: Subject,
) -> None:
    topic, group = await subject.topic(), unique_name("bundle")
    broker = SharedBroker(subject.broker, SystemClock())
    await broker.consumer(config(group, topic), Listener()).stop()
    new = broker.consumer(config(group, topic), Listener())
    await new.start()
    try:
        await subject.write(topic, numbered(2))
        assert await read_values(new, 2) == numbered(2)
    finally:
        await new.stop()


async def test_all_views_drain_side_by_side_and_commit_before_they_give_back(
    subject: Subject,
) -> None:
    async with pair(subject) as both:
        met = asyncio.Barrier(2)  # a drain after the other would wait for ever

        def drain(view: View) -> None:
            async def commit(partitions: frozenset[TopicPartition]) -> None:
                await met.wait()
                await view.commit({place: CommittedOffset(1) for place in partitions})

            both.listeners[both.views.index(view)].revoking = commit

        for view, topic in zip(both.views, both.topics, strict=True):
            await subject.write(topic, numbered(2))
            await read_values(view, 2)
            drain(view)
        async with subject.member(config(both.group, both.topics[0])) as newcomer:
            async with within(PATIENCE_SECONDS, "the commits of both", both.committed):
                while await both.committed() != dict.fromkeys(both.topics, 1):
                    await asyncio.sleep(0.05)
                    await newcomer.fetch((), max_records=1, timeout_seconds=0)
            for listener in both.listeners:
                listener.revoking = None


async def test_a_commit_of_what_is_not_assigned_is_refused_and_fails_no_other(
    subject: Subject,
) -> None:
    async with pair(subject) as both:
        lost = TopicPartition(both.topics[0], 7)
        [place] = both.views[1].assignment()
        good = asyncio.create_task(both.views[1].commit({place: CommittedOffset(0)}))
        with pytest.raises(CommitRefusedError, match="does not hold"):
            await both.views[0].commit({lost: CommittedOffset(1)})
        await good
        assert await both.committed() == {both.topics[1]: 0}


async def test_ends_of_logs_are_known_to_each_view(subject: Subject) -> None:
    async with pair(subject) as both:
        for topic, count in zip(both.topics, (2, 6), strict=True):
            await subject.write(topic, numbered(count))
        views: tuple[Consumer, ...] = both.views
        held = [view.assignment() for view in views]
        found = await asyncio.gather(
            *(view.end_offsets(own) for view, own in zip(views, held, strict=True))
        )
        assert [list(ends.values()) for ends in found] == [[2], [6]]
