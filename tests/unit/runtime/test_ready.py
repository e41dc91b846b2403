"""Records of one key follow one another, whatever ends when; none is forgotten."""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from streamapp.brokers.fetched import FetchedList
from streamapp.record import StoredRecord, TopicPartition
from streamapp.runtime.partition import Partition, Phase
from streamapp.runtime.ready import Chunk, ReadyQueue, make_wait_behind
from streamapp.runtime.work import Work

PLACE = TopicPartition("t", 0)


def chunk(partition: Partition, keys: Sequence[bytes | None]) -> Chunk:
    records = [StoredRecord(offset, 0, key, b"") for offset, key in enumerate(keys)]
    return Chunk(partition, FetchedList(records))


def take(queue: ReadyQueue) -> Work | None:
    """The next record that may be started, which holds its key from then on: what a lane does."""
    if (first := queue.take_first()) is not None:
        return first
    while (current := queue.next_chunk()) is not None:
        holders = queue.holders(current.partition)
        for _, record in current.untaken:
            work = Work(record, current.partition, record.key)
            if record.key is not None and (holder := holders.get(record.key)) is not None:
                make_wait_behind(holder, work)
                continue
            queue.hold_key(work)
            return work
        queue.mark_used_up(current)
    return None


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
    queue = ReadyQueue()
    queue.put(chunk(Partition(PLACE), keys))
    running: list[Work] = []
    waiting: list[Work] = []
    ended: list[Work] = []
    while len(ended) < len(keys):
        if waiting and rng.random() < 0.5:
            queue.put_first([waiting.pop(rng.randrange(len(waiting)))])
        taken = take(queue) if len(running) < lanes else None
        if taken is not None:
            in_work = {w.order_key for w in running + waiting} - {None}
            assert taken.order_key not in in_work
            running.append(taken)
        elif running:
            one = running.pop(rng.randrange(len(running)))
            if rng.random() < failing:
                queue.hold_key(one)
                waiting.append(one)
            else:
                queue.release_key(one)
                ended.append(one)
    for key in (b"a", b"b", b"c"):
        offsets = [w.record.offset for w in ended if w.order_key == key]
        assert offsets == sorted(offsets)
    assert sorted(w.record.offset for w in ended) == list(range(len(keys)))
    assert take(queue) is None


def test_records_of_a_closed_partition_are_passed_over() -> None:
    gone, held = Partition(PLACE), Partition(PLACE)
    queue = ReadyQueue()
    queue.put(chunk(gone, [b"a"]))
    queue.put(chunk(held, [b"a"]))
    gone.phase = Phase.CLOSED
    taken = take(queue)
    assert taken is not None
    assert taken.partition is held


def test_what_is_dropped_is_not_handed_out() -> None:
    queue = ReadyQueue()
    queue.put(chunk(Partition(PLACE), [b"a", b"a", b"a"]))
    first = take(queue)
    assert first is not None
    assert take(queue) is None  # the second waits behind its key
    queue.drop()
    queue.release_key(first)
    assert take(queue) is None
    assert not queue


def test_what_is_kept_goes_on_when_the_rest_is_dropped() -> None:
    queue = ReadyQueue()
    queue.put(chunk(Partition(PLACE), [b"a", b"a", b"a"]))
    first = take(queue)
    assert first is not None
    assert take(queue) is None
    queue.drop(lambda work: work.record.offset == 1)
    queue.release_key(first)
    kept = take(queue)
    assert kept is not None
    assert kept.record.offset == 1
    queue.release_key(kept)
    assert take(queue) is None


def test_keys_of_closed_partitions_are_neither_held_nor_kept_when_the_rest_is_dropped() -> None:
    gone, open_ = Partition(PLACE), Partition(PLACE)
    queue = ReadyQueue()
    for partition in (gone, open_):
        queue.put(chunk(partition, [b"a"]))
    of_gone, of_open = take(queue), take(queue)
    assert of_gone is not None
    gone.phase = Phase.CLOSED
    queue.drop()
    assert queue.holders(gone) == {}
    assert queue.holders(open_) == {b"a": of_open}
    of_gone.holds_key = False
    queue.hold_key(of_gone)
    assert queue.holders(gone) == {}


def test_a_chunk_that_was_dropped_meanwhile_takes_no_other_with_it_when_it_is_used_up() -> None:
    queue, partition = ReadyQueue(), Partition(PLACE)
    queue.put(chunk(partition, [b"a"]))
    used_up = queue.next_chunk()
    assert used_up is not None
    queue.drop()
    queue.mark_used_up(used_up)
    assert not queue
    following = chunk(partition, [b"b"])
    queue.put(following)
    queue.mark_used_up(used_up)
    assert queue.next_chunk() is following


def test_somebody_is_told_of_what_can_be_taken() -> None:
    queue, told = ReadyQueue(), list[bool]()
    queue.on_put = lambda: told.append(bool(queue))
    queue.put(chunk(Partition(PLACE), [b"a"]))
    assert told == [True]
    work = take(queue)
    assert work is not None
    queue.put_first([work])
    assert told == [True, True]
    assert queue.take_first() is work


def test_while_records_are_held_only_what_is_let_through_is_handed_out() -> None:
    queue, partition = ReadyQueue(), Partition(PLACE)
    queue.put(chunk(partition, [b"a", b"b"]))
    queue.is_held = True
    assert not queue
    assert take(queue) is None
    probe = Work(StoredRecord(0, 0, b"a", b""), partition, b"a")
    queue.let_through(probe)
    assert queue
    assert take(queue) is probe
    assert take(queue) is None


def test_what_was_let_through_and_is_dropped_before_it_was_taken_is_told() -> None:
    queue, partition, dropped = ReadyQueue(), Partition(PLACE), list[Work]()
    queue.on_dropped, queue.is_held = dropped.append, True
    probe = Work(StoredRecord(0, 0, b"a", b""), partition, b"a")
    queue.let_through(probe)
    queue.drop()
    assert dropped == [probe]
    assert take(queue) is None
