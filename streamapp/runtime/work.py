"""A record on its way through the steps of a segment, with what has become of it so far.

A record gets a `Work` only if its attempt suspends, fails or has more than one plain output. The
burst finishes all others without one.
"""

from collections import deque
from typing import Any, ClassVar, TypeAlias

from streamapp.letters.sent_back import NEVER_SENT_BACK, SentBack
from streamapp.observability.stage_metrics import DeadLetterReason, StageMetrics
from streamapp.pipeline.context import RecordContext
from streamapp.pipeline.trail import Trail
from streamapp.record import Headers, Record, StoredRecord, TopicPartition
from streamapp.runtime.output_topic import OutputTopic
from streamapp.runtime.partition import Partition
from streamapp.runtime.retry_records import Earlier


class Item:
    """An output that is the input of a fused step.

    Attributes:
        step: index of the step in the segment.
        packed: its input, as the handover of the step keeps it.
        key, headers: key and headers of its outputs, unless the agent gives others.
    """

    __slots__ = ("headers", "key", "packed", "step")

    def __init__(self, step: int, packed: Any, key: bytes | None, headers: Headers) -> None:
        self.step = step
        self.packed = packed
        self.key = key
        self.headers = headers


EncodedOutput: TypeAlias = tuple[OutputTopic, bytes | None, bytes | None, Headers]
"""An encoded output: the topic that it goes to, key, value, headers.

A plain tuple, because a named tuple takes five times as long to make.
"""


class Work:
    """A record with what has become of it so far.

    Attributes:
        record: the record as it was read.
        partition: the partition that it was read from; closed when the assignment is lost.
        order_key: of records of the partition with the same order key, one at a time is worked on;
            with `None` a record waits for no other.
        holds_key: whether it holds its order key, so that later records wait for it.
        behind: the records that wait for it, in their order; `None` without any.
        on_last_attempt: whether it has only one attempt left, because too many wait behind it, or
            failing records keep others from being read.
        give_up_error: why it becomes a dead letter without an attempt: it waited behind a record
            that was given up. `None` for all others.
        item: the input of the next attempt; `None` means the record itself.
        pending: further inputs of fused steps, the next one last.
        outputs: its outputs so far, kept back until the record is done.
        output_bytes: their bytes, which count as in flight with the partition.
        dead_letters: for each dead letter among the outputs, the counters of its stage, and why.
        began: monotonic seconds at which the first attempt on the current input began; `None`
            before it has ended.
        failures: number of failed attempts on the current input.
        first_failure_at, last_failure_at: when the first and the last attempt failed, in seconds
            since the epoch.
        failing_since: when the first of these failed, in monotonic seconds.
        was_held: whether it was held because the world was at fault.
        kept: the audit trail with these failures; `None` if nothing is kept.
        context: context of the last attempt; `None` if its agent takes none, or it has failed.
        earlier: what is known of it if it comes back from a retry topic or was sent back; `None`
            for all others.
    """

    earlier: ClassVar[Earlier | None] = None

    __slots__ = (
        "began",
        "behind",
        "context",
        "dead_letters",
        "failing_since",
        "failures",
        "first_failure_at",
        "give_up_error",
        "holds_key",
        "item",
        "kept",
        "last_failure_at",
        "on_last_attempt",
        "order_key",
        "output_bytes",
        "outputs",
        "partition",
        "pending",
        "record",
        "was_held",
    )

    def __init__(self, record: Record, partition: Partition, order_key: bytes | None) -> None:
        self.record = record
        self.partition = partition
        self.order_key = order_key
        self.holds_key = False
        self.behind: deque[Work] | None = None
        self.on_last_attempt = False
        self.give_up_error: Exception | None = None
        self.item: Item | None = None
        self.pending: list[Item] | None = None
        self.outputs: list[EncodedOutput] | None = None
        self.output_bytes = 0
        self.dead_letters: list[tuple[StageMetrics, DeadLetterReason]] | None = None
        self.began: float | None = None
        self.failures = 0
        self.first_failure_at = self.last_failure_at = 0.0
        self.kept: Trail | None = None
        self.context: RecordContext | None = None
        self.failing_since = 0.0
        self.was_held = False

    @property
    def is_failing(self) -> bool:
        """Whether an attempt on the current input has failed since the record was read.

        One that has waited in a retry topic failed before that, which says nothing of now.
        """
        step = 0 if self.item is None else self.item.step
        return self.failures > self.failures_before(step)

    @property
    def origin(self) -> tuple[TopicPartition, Record]:
        """Where the record was read first, and the record with its offset there."""
        return self.partition.name, self.record

    def failures_before(self, _step: int) -> int:
        """How many attempts of a step on its input had failed when the record was read."""
        return 0

    def delays_used(self, _step: int) -> int:
        """How often the input of a step has waited in a retry topic."""
        return 0

    def sent_back(self, _step: int) -> SentBack:
        """How often, and in which replay, the input of a step was sent back to it."""
        return NEVER_SENT_BACK


class RetriedWork(Work):
    """A record that comes back from a retry topic, or was sent back as a dead letter.

    Args:
        record: the original record, with its offset in the topic that it comes back from.
        partition: the partition of that topic.
        order_key: as in `Work`.
        earlier: what is known of it.
        step: index of the step that has failed, and goes on.
    """

    __slots__ = ("_step", "earlier")  # in place of the value of the class

    def __init__(
        self,
        record: StoredRecord,
        partition: Partition,
        order_key: bytes | None,
        earlier: Earlier,
        step: int,
    ) -> None:
        super().__init__(record, partition, order_key)
        self.earlier = earlier  # type: ignore[misc]  # the same
        self._step = step
        self.failures = earlier.attempts
        self.first_failure_at = earlier.first_failure_at

    @property
    def origin(self) -> tuple[TopicPartition, Record]:
        """Where the record was read first, and the record with its offset there."""
        assert self.earlier is not None  # noqa: S101 - it is given
        record = self.record
        found = StoredRecord(
            self.earlier.offset, record.timestamp, record.key, record.value, record.headers
        )
        return self.earlier.source, found

    def failures_before(self, step: int) -> int:
        """How many attempts of a step on its input had failed when the record was read."""
        return self.earlier.attempts if self.earlier and step == self._step else 0

    def delays_used(self, step: int) -> int:
        """How often the input of a step has waited in a retry topic."""
        return self.earlier.delays_used if self.earlier and step == self._step else 0

    def sent_back(self, step: int) -> SentBack:
        """How often, and in which replay, the input of a step was sent back to it."""
        is_own = self.earlier is not None and step == self._step
        return self.earlier.sent_back if self.earlier and is_own else NEVER_SENT_BACK
