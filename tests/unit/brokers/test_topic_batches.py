"""Where an output goes, and in which batch of its partition."""

from collections.abc import Callable

import pytest

from streamapp.brokers import partitioner as partitioner_module
from streamapp.brokers.kafka.batch import KafkaBatch
from streamapp.brokers.memory.batch import MemoryBatch
from streamapp.brokers.partitioner import Partitioner, partition_for
from streamapp.brokers.protocols import BatchBuilder
from streamapp.brokers.topic_batches import TopicBatches

Make = Callable[[int], BatchBuilder]


def ignore(_size: int) -> None:
    pass


def memory_batch(max_bytes: int) -> BatchBuilder:
    return MemoryBatch(max_bytes, lambda: 1.0)


both = pytest.mark.parametrize("make", [KafkaBatch, memory_batch])


@both
def test_a_key_goes_to_the_partition_that_kafkas_own_producer_picks(make: Make) -> None:
    batches = TopicBatches(Partitioner(3), lambda: make(100_000), ignore)
    keys = [b"%d" % i for i in range(50)]
    for key in keys:
        batches.append(key, b"v", [], 1)
    counts = {partition: batch.record_count() for partition, batch in batches.take()}
    expected = [partition_for(key, 3) for key in keys]
    assert counts == {partition: expected.count(partition) for partition in set(expected)}


@both
def test_full_batches_come_before_the_open_one_and_every_record_is_in_one(make: Make) -> None:
    batches = TopicBatches(Partitioner(1), lambda: make(300), ignore)
    for _ in range(25):
        batches.append(b"k", b"v" * 40, [], 1)
    taken = batches.take()
    counts = [batch.record_count() for _, batch in taken]
    assert sum(counts) == 25
    assert len(counts) > 2
    assert counts[:-1] == [counts[0]] * (len(counts) - 1)
    assert counts[-1] <= counts[0]


@both
def test_a_record_larger_than_a_batch_goes_alone(make: Make) -> None:
    batches = TopicBatches(Partitioner(1), lambda: make(200), ignore)
    for size in (10, 500, 10):
        batches.append(b"k", b"v" * size, [], 1)
    assert [batch.record_count() for _, batch in batches.take()] == [1, 1, 1]


@both
def test_records_without_a_key_stay_together_and_turn_with_each_flush_that_has_some(
    make: Make,
) -> None:
    shared = Partitioner(3)
    used = []
    for keys in ([None, None], [b"k"], [None], [None, None]):
        batches = TopicBatches(shared, lambda: make(100_000), ignore)
        for key in keys:
            batches.append(key, b"v", [], 1)
        used.append([(partition, batch.record_count()) for partition, batch in batches.take()])
    assert used == [[(0, 2)], [(partition_for(b"k", 3), 1)], [(1, 1)], [(2, 2)]]


def test_the_partitions_of_a_bounded_number_of_keys_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partitioner_module, "MAX_CACHED_KEYS", 10)
    partitioner = Partitioner(4)
    for i in range(35):
        key = b"%d" % i
        assert partitioner.choose(key) == partition_for(key, 4)
        assert len(partitioner.keyed) <= 10


def test_the_keys_that_are_remembered_have_a_bounded_number_of_bytes() -> None:
    partitioner = Partitioner(4)
    bound = partitioner_module.MAX_CACHED_BYTES
    lengths = [bound // 3, 5, bound // 3, bound // 3, 7, bound + 1, 9, bound // 2, bound // 2, 11]
    for n, length in enumerate(lengths):
        key = bytes([n]) * length
        assert partitioner.choose(key) == partition_for(key, 4)
        assert sum(len(cached or b"") for cached in partitioner.keyed) <= bound
    assert partitioner.keyed, "short keys are remembered again"


def test_short_keys_are_remembered_up_to_their_number() -> None:
    partitioner = Partitioner(4)
    for n in range(partitioner_module.MAX_CACHED_KEYS):
        partitioner.choose(b"key-%d" % n)
    assert len(partitioner.keyed) == partitioner_module.MAX_CACHED_KEYS
