"""Reads every commit of a group from Kafka's topic `__consumer_offsets`."""

import struct
from collections import defaultdict

from tests.verifier.drain import drain

_OFFSET_KEYS = (0, 1)


async def commits(bootstrap_servers: str, group: str) -> dict[int, list[int]]:
    """Offsets that the group has committed, in order, by partition of its one topic.

    Keys and values have the formats OffsetCommitKey and OffsetCommitValue of Kafka's
    group-coordinator: a version, then group, topic and partition; a version, then the offset.
    """
    found: dict[int, list[int]] = defaultdict(list)
    async for record in drain(bootstrap_servers, "__consumer_offsets"):
        key, value = record.key or b"", record.value
        (version,) = struct.unpack_from(">h", key)
        if version not in _OFFSET_KEYS or value is None:
            continue
        name, at = _text(key, 2)
        if name != group:
            continue
        _topic, at = _text(key, at)
        (partition,) = struct.unpack_from(">i", key, at)
        _version, offset = struct.unpack_from(">hq", value)
        found[partition].append(offset)
    return found


def moved_back(history: dict[int, list[int]]) -> int:
    """Commits below an earlier one of their partition; only an earlier owner makes such."""
    back = 0
    for offsets in history.values():
        highest = -1
        for offset in offsets:
            back += offset < highest
            highest = max(highest, offset)
    return back


def _text(data: bytes, at: int) -> tuple[str, int]:
    (size,) = struct.unpack_from(">h", data, at)
    begin = at + 2
    return data[begin : begin + size].decode(), begin + size
