"""An assigned partition: what it knows of its records, and what a replay hands over."""

from streamapp.brokers.protocols import CommittedOffset
from streamapp.record import TopicPartition
from streamapp.runtime.partition import Partition, Phase

PLACE = TopicPartition("t", 0)


def test_the_oldest_timestamp_is_that_of_the_chunk_with_the_first_unfinished_record() -> None:
    partition = Partition(PLACE)
    assert partition.oldest_timestamp_ms() is None
    for offsets, timestamp in [([0, 1, 2], 100), ([3, 4], 200), ([5, 6], 300), ([7], 400)]:
        partition.admit(offsets, timestamp)
    seen = [partition.oldest_timestamp_ms()]
    for finished in ([0, 1], [2], [5], [3, 4], [6], [7]):
        partition.finish(finished, 0)
        seen.append(partition.oldest_timestamp_ms())
    assert seen == [100, 100, 200, 200, 300, 400, None]
    partition.admit([8], 500)
    assert partition.oldest_timestamp_ms() == 500


def test_what_is_finished_is_not_in_flight() -> None:
    partition = Partition(PLACE)
    assert (partition.in_flight_records, partition.in_flight_bytes) == (0, 0)
    partition.admit(range(5), 0)
    partition.in_flight_records, partition.in_flight_bytes = 5, 50
    partition.finish([1, 2], 20)
    assert (partition.in_flight_records, partition.in_flight_bytes) == (3, 30)
    assert partition.frontier.offset == 0
    partition.finish([0], 10)
    assert (partition.in_flight_records, partition.in_flight_bytes) == (2, 20)
    assert partition.frontier.offset == 3


def test_what_takes_the_place_of_a_replayed_partition_begins_at_its_frontier_suspended() -> None:
    stored = CommittedOffset(1, "")
    before = Partition(PLACE, position=0, committed=stored, until=20)
    assert (before.reached_end, before.metadata_full, before.closed) == (False, False, False)
    before.admit(range(10), 0)
    before.finish([0, 1, 2, 5, 7], 0)

    after = before.close_for_replay()

    assert before.closed
    assert after.phase is Phase.SUSPENDED
    assert not after.closed
    assert (after.name, after.committed, after.until) == (PLACE, stored, 20)
    assert after.frontier.offset == 3
    assert set(after.admit(range(3, 10), 0)) == {5, 7}
    assert (after.in_flight_records, after.in_flight_bytes) == (0, 0)
