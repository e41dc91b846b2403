import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from streamapp.brokers.memory.batch import MemoryBatch
from streamapp.record import Headers

LARGE = 10_000_000

payloads = st.one_of(
    st.none(),
    st.binary(max_size=200),
    st.sampled_from([63, 64, 8191, 8192, 1 << 20]).map(bytes),
)
headers = st.lists(st.tuples(st.text(max_size=70), st.none() | st.binary(max_size=70)), max_size=70)
timestamps = st.one_of(
    st.integers(1_700_000_000_000, 1_700_000_000_000 + 10_000), st.integers(0, 1 << 42)
)
records = st.tuples(timestamps, payloads, payloads, headers)


def kafka_builder(max_bytes: int) -> DefaultRecordBatchBuilder:
    return DefaultRecordBatchBuilder(
        2,
        0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=max_bytes,
    )


@given(st.lists(records, max_size=80))
def test_the_counted_size_is_what_kafka_encodes(
    batch: list[tuple[int, bytes | None, bytes | None, Headers]],
) -> None:
    ours, kafka = MemoryBatch(LARGE * 10, lambda: 0.0), kafka_builder(LARGE * 10)
    for offset, (timestamp, key, value, pairs) in enumerate(batch):
        ours.append(timestamp=timestamp, key=key, value=value, headers=pairs)
        kafka.append(offset, timestamp, key=key, value=value, headers=list(pairs))
        assert ours.size() == kafka.size()
    assert ours.record_count() == len(batch)


@given(st.lists(st.integers(0, 300), max_size=40), st.integers(61, 1000))
def test_a_batch_is_full_exactly_when_kafka_says_so(sizes: list[int], max_bytes: int) -> None:
    ours, kafka = MemoryBatch(max_bytes, lambda: 0.0), kafka_builder(max_bytes)
    for offset, size in enumerate(sizes):
        taken = ours.append(timestamp=1, key=None, value=bytes(size))
        expected = kafka.append(offset, 1, key=None, value=bytes(size), headers=[])
        assert (taken is None) == (expected is None)
        if taken is None:
            break


@pytest.mark.parametrize("bad", ["text", 7, ["list"]])
def test_what_is_not_bytes_is_refused(bad: bytes) -> None:
    batch = MemoryBatch(LARGE, lambda: 0.0)
    with pytest.raises(TypeError, match="are bytes"):
        batch.append(timestamp=1, key=None, value=bad)
    with pytest.raises(TypeError, match="are bytes"):
        batch.append(timestamp=1, key=bad, value=None)
    assert batch.record_count() == 0


def test_headers_are_copied() -> None:
    batch, given_headers = MemoryBatch(LARGE, lambda: 0.0), [("a", b"1")]
    batch.append(timestamp=1, key=None, value=b"", headers=given_headers)
    given_headers.clear()
    assert batch.entries[0][3] == (("a", b"1"),)
