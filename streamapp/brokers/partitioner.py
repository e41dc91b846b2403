"""Which partition a key goes to: the same one that Kafka's Java producer picks.

Hot path note: this is pure Python and costs microseconds for each key, so callers remember the
partition of a key in a bounded cache and come here for new keys only.
"""

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C


def partition_for(key: bytes, partitions: int) -> int:
    """Partition of a key among `partitions`, as Java's `DefaultPartitioner` computes it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """32-bit murmur2 as in `org.apache.kafka.common.utils.Utils`, as an unsigned integer."""
    length = len(data)
    tail = length & 3
    whole = length - tail
    h = _SEED ^ length
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _MULTIPLIER & _MASK
        k = (k ^ (k >> 24)) * _MULTIPLIER & _MASK
        h = (h * _MULTIPLIER & _MASK) ^ k
    if tail:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    h = (h ^ (h >> 13)) * _MULTIPLIER & _MASK
    return h ^ (h >> 15)
