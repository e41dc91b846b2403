"""Bugs in retry topics, batches and sources that match a pattern.

Each changes one named place. If that place no longer exists, planting fails with an error that says
so; then the bug has to be moved.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from streamapp.record import Headers, Record, TopicPartition
from streamapp.runtime import due_times, retry_later, retry_records
from streamapp.runtime.assignment import Assignment
from streamapp.runtime.due_times import DueTimes
from streamapp.runtime.failures import FailureHandler
from streamapp.runtime.gathering import Gathering
from streamapp.runtime.partition import Partition
from streamapp.runtime.ready import ReadyQueue
from streamapp.runtime.segment_topics import SegmentTopics
from streamapp.runtime.work import RetriedWork, Work
from tests.simulation.planting import Mutant, replaced
from tests.simulation.sources import LATER


def retry_topic_skips_its_head() -> AbstractContextManager[None]:
    """The record that is waited for is passed over when those behind it are due."""

    def wait_for(
        waits: DueTimes, partition: Partition, record: Record, _wait: float, _delay: float
    ) -> None:
        waits._assignment.consumer.seek(partition.name, record.offset + 1)

    return replaced(DueTimes, "_wait_for", wait_for)


def records_come_back_early() -> AbstractContextManager[None]:
    def due_at(record: Record, delay_seconds: float) -> float:
        return retry_records.due_at(record, delay_seconds) - delay_seconds / 2

    return replaced(due_times, "due_at", due_at)


def pause_is_never_lifted() -> AbstractContextManager[None]:
    def resume_due(waits: DueTimes) -> None:
        for wait in waits._waits.values():
            wait.is_over |= wait.until <= waits._clock.monotonic()

    return replaced(DueTimes, "resume_due", resume_due)


@contextmanager
def attempts_are_counted_anew_after_a_delay() -> Iterator[None]:
    original = RetriedWork.__init__

    def init(work: RetriedWork, *arguments: Any) -> None:
        original(work, *arguments)
        work.failures = 0

    with (
        replaced(RetriedWork, "__init__", init),
        replaced(RetriedWork, "failures_before", lambda _work, _step: 0),
    ):
        yield


def origin_is_the_retry_topic() -> AbstractContextManager[None]:
    return replaced(
        RetriedWork, "origin", property(lambda work: (work.partition.name, work.record))
    )


def headers_pile_up() -> AbstractContextManager[None]:
    def retry_headers(headers: Headers, facts: Headers, **times: Any) -> Headers:
        return retry_records.retry_headers([*headers, ("again", b"1")], facts, **times)

    return replaced(retry_later, "retry_headers", retry_headers)


def delay_loses_its_record() -> AbstractContextManager[None]:
    return replaced(FailureHandler, "_retry_later", lambda *_: True)


def batch_loses_what_lingers() -> AbstractContextManager[None]:
    def look(gathering: Gathering) -> None:
        gathering._works = {}

    return replaced(Gathering, "_look", look)


def known_result_is_not_used() -> AbstractContextManager[None]:
    """A record whose result is known is left in the queue, and worked on again."""
    return replaced(ReadyQueue, "take_back", lambda _queue, *_known: None)


def batch_takes_all_behind() -> AbstractContextManager[None]:
    def takes_behind(gathering: Gathering, _holder: Work) -> bool:
        return not gathering.is_full

    return replaced(Gathering, "takes_behind", takes_behind)


def new_topic_is_read_from_its_end() -> AbstractContextManager[None]:
    original = Assignment.open

    def open_(assignment: Assignment, names: Collection[TopicPartition], refetch_from: Any) -> None:
        consumer: Any = assignment.consumer
        for name in names:
            if name.topic == LATER and consumer.committed(name) is None:
                consumer.seek(name, consumer._inner._topics.log(name).end_offset)
        original(assignment, names, refetch_from)

    return replaced(Assignment, "open", open_)


def new_topics_are_not_looked_for() -> AbstractContextManager[None]:
    return replaced(SegmentTopics, "note_existing", lambda _topics, _existing: None)


SIXTH: Mapping[str, Mutant] = {
    mutant.__name__: mutant
    for mutant in (
        retry_topic_skips_its_head,
        records_come_back_early,
        pause_is_never_lifted,
        attempts_are_counted_anew_after_a_delay,
        origin_is_the_retry_topic,
        headers_pile_up,
        delay_loses_its_record,
        batch_loses_what_lingers,
        known_result_is_not_used,
        batch_takes_all_behind,
        new_topic_is_read_from_its_end,
        new_topics_are_not_looked_for,
    )
}
