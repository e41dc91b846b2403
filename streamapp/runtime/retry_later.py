"""Retries that let other records go on: what fails waits in a topic, and comes back when it is due.

`move_to_retry_topic` lets failed records wait; `RetriedRecords` makes work of what comes back, also
of dead letters that were sent back.
"""

from collections.abc import Mapping, Sequence

from streamapp.errors import RecordRefusedError
from streamapp.pipeline.agent_call import EncodedValue
from streamapp.pipeline.topology import Segment
from streamapp.pipeline.trail import with_header
from streamapp.record import Headers, Record
from streamapp.runtime.dead_letters import Failure, error_facts
from streamapp.runtime.partition import Partition
from streamapp.runtime.retry_records import begun_anew, restored, retry_headers
from streamapp.runtime.steps import StepRunner
from streamapp.runtime.work import Item, RetriedWork, Work


def move_to_retry_topic(
    work: Work,
    step: StepRunner,
    failure: Failure,
    original: tuple[bytes | None, bytes | None, Headers],
    delay_seconds: float,
) -> bool:
    """Let a failed value wait in the topic of this delay.

    Args:
        work: the record.
        step: the step that has failed.
        failure: why.
        original: key, value and headers that it is written with.
        delay_seconds: one of the delays of the step.

    Returns:
        Whether the topic takes it; if not, nothing is done.
    """
    key, value, headers = original
    target = step.retry_topics[delay_seconds]
    source, record = work.origin
    headers = retry_headers(
        with_header(headers, step.audit.header_of_retry(work.kept)),
        error_facts(source, record, failure),
        retry=work.delays_used(step.index) + 1,
        delay_seconds=delay_seconds,
        now=failure.last_failure_at,
    )
    if not target.takes(key, value, headers):
        return False
    try:
        if step.refusals is not None:
            step.refusals.check(work.partition.name, work.record.offset, target)
    except RecordRefusedError:
        return False
    waiting = (target, key, value, headers)
    work.outputs = [waiting] if work.outputs is None else [*work.outputs, waiting]
    step.metrics.retried_later += 1
    return True


class RetriedRecords:
    """Makes work of the records of retry topics and replay topics.

    Args:
        segment: its steps say which topics they have.
        steps: the same steps at work.

    Attributes:
        topics: names of these topics.
    """

    def __init__(self, segment: Segment, steps: Sequence[StepRunner]) -> None:
        self._steps: Mapping[str, tuple[StepRunner, int]] = {
            topic.name: (runner, i + 1)
            for step, runner in zip(segment.steps, steps, strict=True)
            for i, topic in enumerate(step.retry_topics)
        }
        self._replays = {name: steps[i] for name, i in segment.replay_topics.items()}
        self.topics = frozenset((*self._steps, *self._replays))

    def work_on(self, record: Record, partition: Partition, order_key: bytes | None) -> Work:
        """The work on a record of such a topic: the original record, at the step that failed."""
        if partition.name.topic in self._replays:
            step = self._replays[partition.name.topic]
            original, earlier = restored(record, partition.name, 0)
            earlier = begun_anew(earlier)
        else:
            step, delays_used = self._steps[partition.name.topic]
            original, earlier = restored(record, partition.name, delays_used)
        work = RetriedWork(original, partition, order_key, earlier, step.index)
        work.kept = step.audit.kept_before(original.headers)
        if step.handover is not None:
            step.metrics.records_in += 1
            packed = step.handover.pack(EncodedValue(original.value))
            work.item = Item(step.index, packed, original.key, original.headers)
        return work
