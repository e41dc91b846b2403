"""What is asked of many records is what each of them says."""

from hypothesis import given
from hypothesis import strategies as st

from streamapp.brokers.fetched import FetchedList
from streamapp.record import StoredRecord

RECORDS = st.lists(
    st.tuples(st.integers(1, 3), st.none() | st.binary(max_size=9)), min_size=1, max_size=20
).map(
    lambda pairs: [
        StoredRecord(sum(gap for gap, _ in pairs[: i + 1]), 1000 + i, None, value)
        for i, (_, value) in enumerate(pairs)
    ]
)


@given(RECORDS, st.data())
def test_a_slice_adds_up_to_its_records(records: list[StoredRecord], data: st.DataObject) -> None:
    fetched = FetchedList(records)
    first = data.draw(st.integers(0, len(records)))
    last = data.draw(st.integers(first, len(records)))
    own = records[first:last]
    assert list(fetched.offsets) == [record.offset for record in records]
    assert fetched.value_bytes(first, last) == sum(len(record.value or b"") for record in own)
    assert fetched.timestamps(first, last) == [record.timestamp for record in own]
    assert list(fetched) == records
    assert len(fetched) == len(records)


@given(RECORDS, st.integers(0, 60), st.sets(st.integers(0, 60)))
def test_some_records_can_be_left_out(
    records: list[StoredRecord], end: int, left_out: set[int]
) -> None:
    fetched = FetchedList(records)
    assert list(fetched.before(end)) == [r for r in records if r.offset < end]
    assert list(fetched.since(end)) == [r for r in records if r.offset >= end]
    assert list(fetched.before(end).joined(fetched.since(end))) == records
    assert list(fetched.without(left_out)) == [r for r in records if r.offset not in left_out]
    assert list(fetched.without(left_out).offsets) == [
        r.offset for r in records if r.offset not in left_out
    ]
