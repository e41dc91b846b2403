"""Settings for the peers on librdkafka, as near to the others' as its names allow."""

from benchmarks.measure import (
    FETCH_MAX_WAIT_MS,
    MAX_BATCH_BYTES,
    MAX_FETCH_BYTES,
    MAX_PARTITION_FETCH_BYTES,
)

CONSUMER: dict[str, object] = {
    "fetch.max.bytes": MAX_FETCH_BYTES,
    "max.partition.fetch.bytes": MAX_PARTITION_FETCH_BYTES,
    "fetch.wait.max.ms": FETCH_MAX_WAIT_MS,
    "isolation.level": "read_committed",
}

PRODUCER: dict[str, object] = {
    "acks": "all",
    "enable.idempotence": True,
    "partitioner": "murmur2_random",  # the Java client's, and aiokafka's
    "linger.ms": 5,  # its default; flush() does not wait for it
    "batch.size": MAX_BATCH_BYTES,
    "batch.num.messages": 100_000,
    "queue.buffering.max.messages": 1_000_000,
}
