"""An assigned partition: what it knows of its records, and what a replay hands over."""

from streamapp.brokers.protocols import CommittedOffset
from streamapp.errors import StreamappError
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


def test_what_is_put_back_is_in_flight_no_more_and_the_end_is_found_again() -> None:
    partition = Partition(PLACE, until=20)
    partition.admit(range(20), 100)
    partition.in_flight_records, partition.in_flight_bytes = 20, 200
    partition.reached_end = True
    partition.dead_end = StreamappError("the next is unreadable")
    partition.put_back(range(5, 20), 150)
    assert (partition.in_flight_records, partition.in_flight_bytes) == (5, 50)
    found: tuple[bool, StreamappError | None] = (partition.reached_end, partition.dead_end)
    assert found == (False, None)
    assert list(partition.admit(range(5, 20), 100)) == []


def test_the_oldest_timestamp_of_a_chunk_stays_when_its_end_is_put_back() -> None:
    partition = Partition(PLACE)
    partition.admit(range(10), 100)
    partition.admit(range(10, 20), 200)
    partition.put_back(range(5, 20), 0)
    assert partition.oldest_timestamp_ms() == 100
    partition.admit(range(5, 20), 150)
    seen = [partition.oldest_timestamp_ms()]
    partition.finish(range(5), 0)
    assert [*seen, partition.oldest_timestamp_ms()] == [100, 150]
