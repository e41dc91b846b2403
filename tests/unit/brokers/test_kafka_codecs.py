"""Topics are read whatever codec their producers chose."""

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=["gzip", "snappy", "lz4", "zstd"])
def test_a_batch_of_every_codec_can_be_read(codec: int) -> None:
    batch = BatchBuilder(100_000, codec)
    values = [b"value %d" % number * 100 for number in range(100)]
    for value in values:
        assert batch.append(timestamp=1, key=None, value=value, headers=[]) is not None
    batch.close()
    encoded = bytes(batch._build())
    assert len(encoded) < sum(map(len, values)) / 2
    assert [record.value for record in MemoryRecords(encoded).next_batch()] == values
