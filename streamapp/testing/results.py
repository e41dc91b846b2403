"""What a pipeline wrote in a test: outputs, dead letters and counters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast, overload

from streamapp.errors import ConfigurationError
from streamapp.observability.stage_metrics import DeadLetterReason, StageMetrics
from streamapp.pipeline.topology import Step, Topology
from streamapp.record import ERROR_HEADERS, Record, TopicPartition
from streamapp.topics.topic import Topic

T = TypeVar("T")
OutT = TypeVar("OutT")


@dataclass(frozen=True, slots=True)
class Output(Generic[T]):
    """A record that a stage wrote.

    Attributes:
        value: its value, decoded by the schema of its topic; `None` is a tombstone.
        key: its key; `None` is a record without a key.
        headers: its headers; of several with one name, the last.
        timestamp: its timestamp, in UTC.
        topic, partition, offset: where it was written.
    """

    value: T
    key: bytes | None
    headers: Mapping[str, bytes]
    timestamp: datetime
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that a stage sent to its dead-letter topic.

    Attributes:
        stage: the stage that failed.
        reason: why it became a dead letter; compares equal to its text, such as "decode".
        error: name of the exception's class, such as "ValueError".
        message: message of the exception.
        attempts: how many attempts were made.
        value: the original value, byte for byte; `None` is a tombstone.
        key: the original key.
        headers: the original headers and those that begin with `streamapp.error.`.
    """

    stage: str
    reason: DeadLetterReason
    error: str
    message: str
    attempts: int
    value: bytes | None
    key: bytes | None
    headers: Mapping[str, bytes]


class PipelineResults(Generic[OutT]):
    """What a pipeline has written so far.

    Args:
        topology: the pipeline.
        written: the records of every topic of the pipeline, by partition.
        counters: the counters of every stage.
    """

    def __init__(
        self,
        topology: Topology,
        written: Mapping[TopicPartition, Sequence[Record]],
        counters: Sequence[StageMetrics],
    ) -> None:
        self._pipeline = topology.pipeline
        self._steps = [step for segment in topology.segments for step in segment.steps]
        self._written = written
        self._counters = {metrics.stage: metrics for metrics in counters}

    @property
    def outputs(self) -> list[OutT]:
        """Values in the output topic of the last stage, partition by partition.

        With one partition, which is the default, they are in the order in which they were
        written. Empty if the last stage has no output topic.
        """
        return [output.value for output in self.records()]

    @overload
    def records(self) -> list[Output[OutT]]: ...
    @overload
    def records(self, topic: Topic[T]) -> list[Output[T]]: ...
    @overload
    def records(self, topic: str) -> list[Output[Any]]: ...
    def records(self, topic: Topic[Any] | str | None = None) -> list[Output[Any]]:
        """Records in an output topic with key, headers and timestamp, partition by partition.

        Args:
            topic: an output topic or a route of any stage; by default the output topic of the
                last stage.

        Raises:
            ConfigurationError: no stage writes outputs to this topic.
        """
        if topic is None:
            last = self._steps[-1].output
            return [] if last is None else self._decoded(last)
        name = topic if isinstance(topic, str) else topic.name
        known = {found.name: found for step in self._steps for found in _output_topics(step)}
        if name not in known:
            raise ConfigurationError(
                f"no stage of pipeline {self._pipeline!r} writes outputs to the topic {name!r};"
                f" its output topics are: {', '.join(known) or 'none'}"
            )
        return self._decoded(topic if isinstance(topic, Topic) else known[name])

    def dead_letters(self, stage: str | None = None) -> list[DeadLetter]:
        """Dead letters of a stage, or of all stages in their order.

        Raises:
            ConfigurationError: there is no stage of this name.
        """
        if stage is not None:
            self._check_stage(stage)
        topics = dict.fromkeys(step.dead_letters for step in self._steps)
        letters = [_dead_letter(record) for topic in topics for _, record in self._in_topic(topic)]
        return [letter for letter in letters if stage in (None, letter.stage)]

    def metrics(self, stage: str) -> StageMetrics:
        """Counters of a stage, such as `filtered` and `retries`.

        Raises:
            ConfigurationError: there is no stage of this name.
        """
        self._check_stage(stage)
        return self._counters[stage]

    def __repr__(self) -> str:
        letters = [f"{letter.stage}: {letter.reason}" for letter in self.dead_letters()]
        why = f" ({', '.join(letters)})" if letters else ""
        return (
            f"<PipelineResults of {self._pipeline}: {_counted(len(self.records()), 'output')},"
            f" {_counted(len(letters), 'dead letter')}{why}>"
        )

    def _check_stage(self, stage: str) -> None:
        if stage not in self._counters:
            raise ConfigurationError(
                f"pipeline {self._pipeline!r} has no stage {stage!r};"
                f" its stages are: {', '.join(self._counters)}"
            )

    def _in_topic(self, topic: str) -> list[tuple[int, Record]]:
        """Records of a topic with their partitions."""
        return [
            (place.partition, record)
            for place in sorted(self._written)
            if place.topic == topic
            for record in self._written[place]
        ]

    def _decoded(self, topic: Topic[T]) -> list[Output[T]]:
        return [
            Output(
                value=cast("T", None) if record.value is None else topic.codec.decode(record.value),
                key=record.key,
                headers=dict(record.headers),
                timestamp=datetime.fromtimestamp(record.timestamp / 1000, tz=UTC),
                topic=topic.name,
                partition=partition,
                offset=record.offset,
            )
            for partition, record in self._in_topic(topic.name)
        ]


def _output_topics(step: Step) -> list[Topic[Any]]:
    return [*([] if step.output is None else [step.output]), *step.routes.values()]


def _dead_letter(record: Record) -> DeadLetter:
    headers = dict(record.headers)

    def error_header(name: str) -> str:
        return headers[ERROR_HEADERS + name].decode()

    return DeadLetter(
        stage=error_header("stage"),
        reason=DeadLetterReason(error_header("reason")),
        error=error_header("class"),
        message=error_header("message"),
        attempts=int(error_header("attempts")),
        value=record.value,
        key=record.key,
        headers=headers,
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
