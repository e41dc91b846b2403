"""Records of one key follow one another, whatever ends when; none is forgotten."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.record import StoredRecord, TopicPartition
from streamapp.runtime.partition import Partition
from streamapp.runtime.ready import ReadyQueue
from streamapp.runtime.work import Work

PLACE = TopicPartition("t", 0)


def work(partition: Partition, offset: int, key: bytes | None) -> Work:
    return Work(StoredRecord("t", 0, offset, 0, key, b""), partition, key)


@given(
    keys=st.lists(st.sampled_from([b"a", b"b", b"c", None]), min_size=1, max_size=80),
    seed=st.integers(),
    lanes=st.integers(1, 6),
    failing=st.floats(0, 0.5),
)
def test_every_record_ends_once_and_in_the_order_of_its_key(
    keys: list[bytes | None], seed: int, lanes: int, failing: float
) -> None:
    rng = random.Random(seed)
    partition = Partition(PLACE)
    queue = ReadyQueue(side_by_side=lanes > 1)
    queue.put(work(partition, offset, key) for offset, key in enumerate(keys))
    running: list[Work] = []
    waiting: list[Work] = []
    ended: list[Work] = []
    while len(ended) < len(keys):
        if waiting and rng.random() < 0.5:
            queue.put_first([waiting.pop(rng.randrange(len(waiting)))])
        taken = queue.take() if len(running) < lanes else None
        if taken is not None:
            in_work = {w.order_key for w in running + waiting} - {None}
            assert taken.order_key not in in_work
            running.append(taken)
        elif running:
            one = running.pop(rng.randrange(len(running)))
            if rng.random() < failing:
                queue.hold(one)
                waiting.append(one)
            else:
                queue.release(one)
                ended.append(one)
    for key in (b"a", b"b", b"c"):
        offsets = [w.record.offset for w in ended if w.order_key == key]
        assert offsets == sorted(offsets)
    assert sorted(w.record.offset for w in ended) == list(range(len(keys)))
    assert queue.take() is None


@pytest.mark.parametrize("side_by_side", [True, False])
def test_records_of_a_closed_partition_are_passed_over(*, side_by_side: bool) -> None:
    gone, held = Partition(PLACE), Partition(PLACE)
    queue = ReadyQueue(side_by_side=side_by_side)
    queue.put([work(gone, 1, b"a"), work(held, 2, b"a")])
    gone.closed = True
    taken = queue.take()
    assert taken is not None
    assert taken.partition is held


def test_what_is_dropped_is_not_handed_out() -> None:
    partition = Partition(PLACE)
    queue = ReadyQueue(side_by_side=True)
    queue.put(work(partition, offset, b"a") for offset in range(3))
    first = queue.take()
    assert first is not None
    assert queue.take() is None  # the second waits behind its key
    queue.drop({})
    queue.release(first)
    assert queue.take() is None
    assert not queue
