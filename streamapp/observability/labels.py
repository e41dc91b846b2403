"""Every label of the metrics, and what bounds the number of its values.

A label whose values come with the records (a key, an offset, the text of an error) would make
series without end, so there is none: `LabelSource` has no word for it.
"""

from dataclasses import dataclass
from enum import StrEnum

from streamapp.observability.causes import Cause, Level
from streamapp.observability.lane_time import Activity
from streamapp.observability.model_usage import AtFault, Direction
from streamapp.observability.stage_metrics import (
    BreakerState,
    DeadLetterReason,
    Outcome,
    ReplacementCause,
    StageState,
)


class LabelSource(StrEnum):
    """Where the values of a label come from, which bounds their number."""

    CLOSED = "a closed set"
    DECLARED = "names in the declared pipelines"
    TOPICS = "topics that the stage reads and writes now"
    PARTITIONS = "partitions that the worker has now"
    PROCESSES = "one for each process"


@dataclass(frozen=True, slots=True)
class Label:
    """One label.

    Attributes:
        meaning: what it names, in a few words.
        source: what bounds the number of its values.
        values: all of them, if they are a closed set.
    """

    meaning: str
    source: LabelSource
    values: tuple[str, ...] = ()


def _closed(meaning: str, values: type[StrEnum] | tuple[str, ...]) -> Label:
    return Label(meaning, LabelSource.CLOSED, tuple(str(one) for one in values))


LABELS: dict[str, Label] = {
    "pipeline": Label("name of the pipeline", LabelSource.DECLARED),
    "stage": Label("name of the stage", LabelSource.DECLARED),
    "topic": Label("name of the topic", LabelSource.TOPICS),
    "partition": Label("number of the partition", LabelSource.PARTITIONS),
    "outcome": _closed("how a record ended", Outcome),
    "reason": _closed("why a record became a dead letter", DeadLetterReason),
    "trigger": _closed("why another agent took a place", ReplacementCause),
    "level": _closed("how a stage does", Level),
    "cause": _closed(
        "what is wrong with a stage or a worker; docs/reference/causes.md explains each", Cause
    ),
    "state": _closed("state of a stage", StageState),
    "breaker": _closed("what the breaker of a stage or member lets through", BreakerState),
    "pool": Label("name of a pool in the agent of the stage", LabelSource.DECLARED),
    "agent": Label(
        "name of the agent of the stage, of a part of it, or of a member of the pool",
        LabelSource.DECLARED,
    ),
    "fault": _closed("who was at fault when a call of a model failed", AtFault),
    "direction": _closed("whether tokens went to the model or came from it", Direction),
    "status": _closed("how an execution ended", ("success", "failed", "cancelled")),
    "version": Label("version of streamapp", LabelSource.PROCESSES),
    "activity": _closed("what a lane of a stage does", Activity),
    "worker": Label(
        "number of the worker process, from 0, the same over its restarts", LabelSource.PROCESSES
    ),
}
"""Every label by its name."""
