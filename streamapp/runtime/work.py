"""One record on its way through the steps of a segment.

One object for each record that has to be remembered: its attempt suspended, failed, or gave more
than one plain output. The others pass without one.
"""

from collections import deque
from typing import Any, TypeAlias

from streamapp.observability.stage_metrics import DeadLetterReason, StageMetrics
from streamapp.record import Headers, Record
from streamapp.runtime.output_topic import OutputTopic
from streamapp.runtime.partition import Partition


class Item:
    """A value that waits for a fused step.

    Attributes:
        step: index of the step.
        value: what its agent takes.
        key, headers: those of the outputs, if the agent gives no others.
    """

    __slots__ = ("headers", "key", "step", "value")

    def __init__(self, step: int, value: Any, key: bytes | None, headers: Headers) -> None:
        self.step = step
        self.value = value
        self.key = key
        self.headers = headers


Output: TypeAlias = tuple[OutputTopic, bytes | None, bytes | None, Headers]
"""An encoded record on its way to a topic: target, key, value, headers.

A bare tuple, because a named one takes five times as long to make.
"""


class Work:
    """A record with what has become of it so far.

    Attributes:
        record: the record as it was read.
        partition: where it came from; closed when the assignment is lost.
        order_key: records of the partition with this key wait for one another; `None` waits for
            nothing.
        holds_key: whether later records of its key wait for it.
        behind: those that wait, in their order; `None` without any.
        on_last_attempt: whether too many wait behind it, so that it has one last attempt.
        give_up_error: why it is not tried at all, because it waited behind a record that was
            given up; `None` for all others.
        item: what the next attempt works on; `None` is the record itself.
        pending: further values of fused steps, the next one last.
        outputs: held until the record ends.
        dead_letters: which stages' dead letters are among them, and why.
        failures: failed attempts on this item.
        first_failure_at: seconds since the epoch of the first of them.
    """

    __slots__ = (
        "behind",
        "dead_letters",
        "failures",
        "first_failure_at",
        "give_up_error",
        "holds_key",
        "item",
        "on_last_attempt",
        "order_key",
        "outputs",
        "partition",
        "pending",
        "record",
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
        self.outputs: list[Output] | None = None
        self.dead_letters: list[tuple[StageMetrics, DeadLetterReason]] | None = None
        self.failures = 0
        self.first_failure_at = 0.0
