"""Which partition a key goes to: the same one that Kafka's Java producer picks.

Hot path note: this is pure Python and costs microseconds for each key, so callers remember the
partition of a key in a bounded cache and come here for new keys only.
"""

MAX_CACHED_KEYS = 65_536
"""Keys whose partition is remembered for each topic; then the cache starts anew."""

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C


class Partitioner:
    """Places the records of one topic, and remembers the partitions of the latest keys.

    Attributes:
        partitions: how many the topic has.
        keyed: partitions by key; read it first and call `place` for a key that is not in it.
    """

    __slots__ = ("_is_keyless_used", "_keyless", "keyed", "partitions")

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.keyed: dict[bytes | None, int] = {}  # never holds None, which goes in turns
        self._keyless = 0
        self._is_keyless_used = False

    def place(self, key: bytes | None) -> int:
        """Partition of a key that is not in `keyed`.

        Records without a key stay together until `turn`, so that they make whole batches.
        """
        if key is None:
            self._is_keyless_used = True
            return self._keyless
        if len(self.keyed) >= MAX_CACHED_KEYS:
            self.keyed.clear()
        partition = self.keyed[key] = partition_for(key, self.partitions)
        return partition

    def turn(self) -> None:
        """Send the next records without a key to the next partition."""
        if self._is_keyless_used:  # else flushes with and without keys in turns would use only some
            self._is_keyless_used = False
            self._keyless = (self._keyless + 1) % self.partitions


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
