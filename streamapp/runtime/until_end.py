"""Runs a pipeline up to the current end of its source, one segment after the other."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from streamapp.brokers.protocols import Admin
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.record import TopicPartition
from streamapp.runtime.segment import SegmentRunner
from streamapp.runtime.unread_start import tell_unread_starts

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 0.2
"""Time between two questions how far the group has committed."""

RETRY_SECONDS = 1.0
"""Wait after a question that failed. The segments survive an outage, so this does too."""


async def run_until_end(
    admin: Admin, runners: Sequence[SegmentRunner], partitions: Mapping[str, int], clock: Clock
) -> None:
    """Stop each running segment of a pipeline when its group has reached the end of its source.

    The end for the first segment is the current end of its source. When its group has committed
    these offsets, all its outputs are written. Then the end for the next segment is the end that
    its own source has at that time. Several workers can do this together, because what counts are
    the offsets that the group has committed.

    Args:
        admin: reads offsets.
        runners: the running segments of one pipeline, in order.
        partitions: number of partitions that every topic had at the start; they are asked anew.
        clock: waits between questions.
    """
    for position, runner in enumerate(runners):
        topics = runner.segment.source_topics
        counts = {topic: partitions[topic] for topic in topics}
        # An earlier stage may have written for long: partitions were added, or records deleted.
        counts |= await _answer(partial(admin.partition_counts, topics), clock)
        if position:
            await tell_unread_starts(admin, runner.segment.group, counts)
        names = [TopicPartition(topic, i) for topic in topics for i in range(counts[topic])]
        ends = await _answer(partial(admin.end_offsets, names), clock)
        beginnings = await _answer(partial(admin.beginning_offsets, names), clock)
        runner.end_at(ends)
        reached = partial(_reached, admin, runner.segment.group, beginnings, ends)
        while not await _answer(reached, clock):
            await clock.sleep(POLL_SECONDS)
        runner.stop()


async def _answer(ask: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Ask until there is an answer; to give up, cancel this."""
    while True:
        try:
            return await ask()
        except BrokerError as error:
            log.warning("offsets could not be read, trying again: %s", error)
            await clock.sleep(RETRY_SECONDS)


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
