"""Bounded work: up to the offsets that stand at the start, stage after stage."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from streamapp.brokers.protocols import Admin
from streamapp.clock import Clock
from streamapp.errors import BrokerError
from streamapp.record import TopicPartition
from streamapp.runtime.segment import SegmentRunner

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 0.2

RETRY_SECONDS = 1.0
"""Wait after a question without an answer: the segments sit an outage out as well."""


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
        names = [
            TopicPartition(topic, i)
            for topic in runner.segment.source_topics
            for i in range(partitions[topic])
        ]
        ends = await _answer(partial(admin.end_offsets, names), clock)
        beginnings = await _answer(partial(admin.beginning_offsets, names), clock)
        runner.end_at(ends)
        reached = partial(_reached, admin, runner.segment.group, beginnings, ends)
        while not await _answer(reached, clock):
            await clock.sleep(POLL_SECONDS)
        runner.stop()


async def _answer(ask: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Ask until there is an answer; cancel it to give up."""
    while True:
        try:
            return await ask()
        except BrokerError as error:
            log.warning("asking how far it is to the end failed, trying again: %s", error)
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
