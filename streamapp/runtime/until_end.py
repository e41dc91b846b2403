"""Bounded work: up to the offsets that stand at the start, stage after stage."""

from collections.abc import Mapping, Sequence

from streamapp.brokers.protocols import Admin
from streamapp.clock import Clock
from streamapp.record import TopicPartition
from streamapp.runtime.segment import SegmentRunner

POLL_SECONDS = 0.2


async def run_until_end(
    admin: Admin, runners: Sequence[SegmentRunner], partitions: Mapping[str, int], clock: Clock
) -> None:
    """Stop each segment of a pipeline when its group has reached the end.

    The end of the first segment is where its source ends now. Once its group has committed that,
    all it writes is written, and the end of the next segment is where its own source ends then.
    Several workers can do this together: what counts is the group.

    Args:
        admin: tells offsets.
        runners: the segments of one pipeline, in order, running.
        partitions: number of partitions of every source.
        clock: waits between looks.
    """
    for runner in runners:
        source = runner.segment.source
        names = [TopicPartition(source, i) for i in range(partitions[source])]
        ends = await admin.end_offsets(names)
        beginnings = await admin.beginning_offsets(names)
        runner.end_at(ends)
        while not await _reached(admin, runner.segment.group, beginnings, ends):
            await clock.sleep(POLL_SECONDS)
        runner.stop()


async def _reached(
    admin: Admin,
    group: str,
    beginnings: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> bool:
    committed = await admin.committed_offsets(group)
    for name, end in ends.items():
        stored = committed.get(name)
        position = beginnings[name] if stored is None else stored.offset
        if position < end:
            return False
    return True
