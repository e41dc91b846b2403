"""Chooses the partition of a key: the same that Kafka's Java producer chooses.

Hot path: computing a partition takes microseconds in Python, so it is done for new keys only.
`Partitioner.keyed` is a bounded cache of the others.
"""

MAX_CACHED_KEYS = 65_536
"""Most keys that the cache of a topic holds; at that size it is emptied."""

MAX_CACHED_BYTES = 4 * 1024 * 1024
"""Most bytes of keys that it holds: 64 for each of so many keys. Keys may be as long as values."""

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C


class Partitioner:
    """Chooses partitions for the records of one topic, and caches those of keys.

    Attributes:
        partitions: number of partitions of the topic.
        keyed: cached partitions by key; look a key up here before calling `choose`.
        keyless: partition of records without a key, until `rotate_keyless`.
    """

    __slots__ = ("_cached_bytes", "_is_keyless_used", "keyed", "keyless", "partitions")

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self._cached_bytes = 0
        self.keyed: dict[bytes | None, int] = {}  # never holds `None`: see `rotate_keyless`
        self.keyless = 0
        self._is_keyless_used = False

    def choose(self, key: bytes | None) -> int:
        """Choose the partition of a key that is not in `keyed`, and cache it there.

        Records without a key all get the same partition until `rotate_keyless` is called, so that
        they fill one batch instead of a small one for each partition.
        """
        if key is None:
            self._is_keyless_used = True
            return self.keyless
        partition = partition_for(key, self.partitions)
        if len(self.keyed) >= MAX_CACHED_KEYS or self._cached_bytes + len(key) > MAX_CACHED_BYTES:
            self.keyed.clear()
            self._cached_bytes = 0
        if len(key) <= MAX_CACHED_BYTES:
            self._cached_bytes += len(key)
            self.keyed[key] = partition
        return partition

    def rotate_keyless(self) -> None:
        """Choose the next partition for the next records without a key.

        Does nothing if there were none since the last call: otherwise, if only every second flush
        had such records, they would reach only every second partition.
        """
        if self._is_keyless_used:
            self._is_keyless_used = False
            self.keyless = (self.keyless + 1) % self.partitions


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
