"""Topics are read whatever codec their producers chose."""

import pytest
from aiokafka.record.memory_records import MemoryRecords

from streamapp.brokers.kafka.batch import KafkaBatch


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_batch_of_every_codec_can_be_read(codec: str) -> None:
    batch = KafkaBatch(100_000, codec)  # type: ignore[arg-type]  # parametrized names of codecs
    values = [b"value %d" % number * 100 for number in range(100)]
    for value in values:
        assert batch.append(timestamp=1, key=None, value=value) is not None
    batch.close()
    encoded = bytes(batch._build())
    assert len(encoded) < sum(map(len, values)) / 2
    assert [record.value for record in MemoryRecords(encoded).next_batch()] == values
