"""Runs a pipeline up to the current end of its source, one segment after the other."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from streamapp.brokers.protocols import Admin
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.record import TopicPartition
from streamapp.runtime.running_segment import RunningSegment
from streamapp.runtime.unread_start import tell_unread_starts

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 0.2
"""Time between two questions how far the group has committed."""

NO_END = 2**63 - 1
"""For a retry topic, which ends when it is empty: its records are part of the bounded work."""

RETRY_SECONDS = 1.0
"""Wait after a question that failed. The segments survive an outage, so this does too."""


async def run_until_end(
    admin: Admin, runners: Sequence[RunningSegment], partitions: Mapping[str, int], clock: Clock
) -> None:
    """Stop each running segment of a pipeline when its group has reached the end of its source.

    The end for the first segment is the current end of its source. When its group has committed
    these offsets, and then those of what has waited in its retry topics, all its outputs are
    written. Then the end for the next segment is the end that its own source has at that time.
    Several workers can do this together, because what counts are the offsets that the group has
    committed.

    Args:
        admin: reads offsets.
        runners: the running segments of one pipeline, in order.
        partitions: number of partitions that every topic had at the start; they are asked anew.
        clock: waits between questions.
    """
    for position, runner in enumerate(runners):
        topics = (*runner.topics.sources, *runner.topics.replays)
        named = runner.segment.source_topics
        counts = {topic: partitions[topic] for topic in named}
        # An earlier stage may have written for long: partitions were added, or records deleted.
        counts |= await _answer(partial(admin.partition_counts, topics), clock)
        if position:
            await tell_unread_starts(admin, runner.segment.group, counts)
        ends = await _ends(admin, counts, clock)
        waiting = {name: partitions[name] for name in runner.segment.retry_topics}
        runner.end_at(ends | dict.fromkeys(_places(waiting), NO_END))
        await _wait_for(admin, runner.segment.group, ends, clock)
        for _ in waiting:  # each time, a record may be moved to the topic of the next delay
            ends = await _ends(admin, waiting, clock)
            await _wait_for(admin, runner.segment.group, ends, clock)
        runner.stop()


def _places(partitions: Mapping[str, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, i) for topic, count in partitions.items() for i in range(count)]


async def _ends(
    admin: Admin, partitions: Mapping[str, int], clock: Clock
) -> dict[TopicPartition, int]:
    """The current ends of all partitions of these topics."""
    return dict(await _answer(partial(admin.end_offsets, _places(partitions)), clock))


async def _wait_for(
    admin: Admin, group: str, ends: Mapping[TopicPartition, int], clock: Clock
) -> None:
    """Wait until the group has committed these offsets."""
    beginnings = await _answer(partial(admin.beginning_offsets, list(ends)), clock)
    reached = partial(_reached, admin, group, beginnings, ends)
    while not await _answer(reached, clock):
        await clock.sleep(POLL_SECONDS)


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
