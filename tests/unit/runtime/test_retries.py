"""Records that wait for their next attempt, in the time of the loop."""

import asyncio
import random

import pytest

from streamapp.clock import SystemClock
from streamapp.record import StoredRecord, TopicPartition
from streamapp.runtime.partition import Partition
from streamapp.runtime.ready import ReadyQueue
from streamapp.runtime.retries import RetryQueue
from streamapp.runtime.work import Work


class Waiting:
    """A retry queue, and the offsets of the records that it gave back."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.ready = ReadyQueue()
        self.queue = RetryQueue(self.clock, self.ready)
        self._partition = Partition(TopicPartition("t", 0))

    def work(self, offset: int, key: bytes | None = None) -> Work:
        return Work(StoredRecord(offset, 0, key, b""), self._partition, key)

    def back(self) -> list[int]:
        found = []
        while (work := self.ready.take_first()) is not None:
            found.append(work.record.offset)
        return found


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


async def test_records_come_back_in_the_order_in_which_their_waits_end(waiting: Waiting) -> None:
    for offset, seconds in ((1, 3.0), (2, 1.0), (3, 2.0), (4, 9.0)):
        waiting.queue.add(waiting.work(offset), seconds)
    await asyncio.sleep(0.9)
    assert waiting.back() == []
    await asyncio.sleep(4.0)
    assert waiting.back() == [2, 3, 1]
    await asyncio.sleep(5.0)
    assert waiting.back() == [4]


async def test_waits_of_one_length_end_in_the_order_in_which_they_began(waiting: Waiting) -> None:
    for offset in range(5):
        waiting.queue.add(waiting.work(offset), 0.0)
    await asyncio.sleep(0.1)
    assert waiting.back() == [0, 1, 2, 3, 4]


async def test_a_record_keeps_its_key_while_it_waits(waiting: Waiting) -> None:
    work = waiting.work(1, b"k")
    waiting.queue.add(work, 1.0)
    assert waiting.ready.holders(work.partition) == {b"k": work}


async def test_a_record_that_is_hastened_comes_back_at_once_and_no_other(waiting: Waiting) -> None:
    works = [waiting.work(offset) for offset in range(6)]
    for work in works:
        waiting.queue.add(work, 5.0 - work.record.offset * 0.5)
    waiting.queue.retry_now([works[2]])
    waiting.queue.retry_now([waiting.work(7)])  # it does not wait
    await asyncio.sleep(0.5)
    assert waiting.back() == [2]
    await asyncio.sleep(6.0)
    assert waiting.back() == [5, 4, 3, 1, 0]


async def test_it_is_told_whether_a_wait_is_over_by_an_instant(waiting: Waiting) -> None:
    assert not waiting.queue.due_by(float("inf"))
    before = waiting.clock.monotonic()
    waiting.queue.add(waiting.work(1), 5.0)
    waiting.queue.add(waiting.work(2), 9.0)
    after = waiting.clock.monotonic()
    assert not waiting.queue.due_by(before + 4.9)
    assert waiting.queue.due_by(after + 5.0)


async def test_what_is_dropped_does_not_come_back_and_what_is_kept_does(waiting: Waiting) -> None:
    for offset in range(6):
        waiting.queue.add(waiting.work(offset), 6.0 - offset)
    waiting.queue.drop(lambda work: work.record.offset % 2 == 0)
    await asyncio.sleep(10.0)
    assert waiting.back() == [4, 2, 0]
    waiting.queue.add(waiting.work(9), 1.0)
    waiting.queue.drop()
    await asyncio.sleep(5.0)
    assert waiting.back() == []
    assert not waiting.queue.due_by(float("inf"))


@pytest.mark.parametrize("seed", range(5))
async def test_the_order_of_the_others_stays_when_some_are_hastened_or_dropped(
    waiting: Waiting, seed: int
) -> None:
    rng = random.Random(seed)
    seconds = {offset: rng.uniform(10.0, 100.0) for offset in range(60)}
    works = {offset: waiting.work(offset) for offset in seconds}
    for offset, wait in seconds.items():
        waiting.queue.add(works[offset], wait)
    hastened = rng.sample(range(60), 5)
    for offset in hastened:
        waiting.queue.retry_now([works[offset]])
    await asyncio.sleep(1.0)
    assert waiting.back() == hastened
    waiting.queue.drop(lambda work: work.record.offset % 3 > 0)
    await asyncio.sleep(100.0)
    kept = [offset for offset in seconds if offset % 3 and offset not in hastened]
    assert waiting.back() == sorted(kept, key=lambda offset: seconds[offset])


@pytest.mark.parametrize("seed", range(5))
async def test_the_order_of_all_stays_when_many_are_hastened_at_once(
    waiting: Waiting, seed: int
) -> None:
    rng = random.Random(seed)
    seconds = {offset: rng.uniform(10.0, 100.0) for offset in range(60)}
    works = {offset: waiting.work(offset) for offset in seconds}
    for offset, wait in seconds.items():
        waiting.queue.add(works[offset], wait)
    in_order = sorted(seconds, key=lambda offset: seconds[offset])
    hastened = set(rng.sample(range(60), 20))
    waiting.queue.retry_now({works[offset] for offset in hastened})
    await asyncio.sleep(1.0)
    assert waiting.back() == [offset for offset in in_order if offset in hastened]
    await asyncio.sleep(100.0)
    assert waiting.back() == [offset for offset in in_order if offset not in hastened]


async def test_held_records_keep_their_keys_until_they_are_taken_or_dropped(
    waiting: Waiting,
) -> None:
    first, second = waiting.work(2, b"b"), waiting.work(1, b"a")
    waiting.queue.hold(first)
    waiting.queue.hold(second)
    assert first.holds_key
    assert waiting.queue.take_held() is first
    waiting.queue.hold(first)
    assert list(waiting.queue.held) == [second, first]
    waiting.queue.drop(lambda work: work is first)
    assert list(waiting.queue.take_all_held()) == [first]
    assert not waiting.queue.held
