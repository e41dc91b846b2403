from hypothesis import given
from hypothesis import strategies as st

from streamapp.brokers.memory.log import PartitionLog
from streamapp.record import TopicPartition

PLACE = TopicPartition("t", 0)


def append(log: PartitionLog, count: int) -> None:
    log.append([(0, None, b"", ())] * count)


def read_all(log: PartitionLog, max_records: int) -> list[int]:
    """Offsets from the start to the end, in fetches of so many."""
    position, offsets = log.start_offset, list[int]()
    while position < log.end_offset:
        records, after = log.read(position, max_records)
        assert len(records) <= max_records
        assert after > position
        offsets += [record.offset for record in records]
        position = after
    return offsets


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 700)),
        st.tuples(st.just("skip"), st.integers(1, 5)),
        st.tuples(st.just("delete"), st.integers(0, 100)),
    ),
    max_size=30,
)


@given(steps, st.integers(1, 400))
def test_whatever_happens_to_a_log_what_is_left_is_read_once_in_order(
    actions: list[tuple[str, int]], max_records: int
) -> None:
    log, expected = PartitionLog(PLACE), list[int]()
    for action, amount in actions:
        if action == "append":
            expected += range(log.end_offset, log.end_offset + amount)
            append(log, amount)
        elif action == "skip":
            log.skip_offsets(amount)
        else:  # a share of what is there
            span = log.end_offset - log.start_offset
            before = log.start_offset + span * amount // 100
            log.delete_before(before)
            expected = [offset for offset in expected if offset >= before]
            assert log.start_offset == before
        assert len(log) == len(expected)
    assert read_all(log, max_records) == expected


def test_reading_starts_at_the_next_record_when_the_offset_is_in_a_gap() -> None:
    log = PartitionLog(PLACE)
    append(log, 2)
    log.skip_offsets(3)
    append(log, 2)
    records, after = log.read(3, 1)
    assert [record.offset for record in records] == [5]
    assert after == 6


def test_deleting_backwards_moves_nothing() -> None:
    log = PartitionLog(PLACE)
    append(log, 10)
    log.delete_before(6)
    log.delete_before(2)
    assert log.start_offset == 6
    assert not log.holds(5)
    assert log.holds(10)
    assert not log.holds(11)


def test_trimming_keeps_the_newest_and_what_is_needed() -> None:
    log = PartitionLog(PLACE)
    append(log, 100)
    log.trim(10, needed_from=50)
    assert log.start_offset == 50
    log.trim(10, needed_from=100)
    assert log.start_offset == 90
    log.trim(0, needed_from=100)
    assert (log.start_offset, len(log)) == (100, 0)


def test_deleted_records_are_freed() -> None:
    log = PartitionLog(PLACE)
    for _ in range(100):
        append(log, 1000)
        log.trim(100, needed_from=log.end_offset)
        assert len(log._records) <= 2100
