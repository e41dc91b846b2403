"""The tree of errors; each says what was wrong, where, and what to do.

```
StreamappError
├── ConfigurationError      a declaration, setting or file is wrong; nothing was started
│   ├── PipelineError       stages, schemas or policies of a pipeline do not fit together
│   ├── TopicError          a topic is missing or is not as declared
│   ├── RenamedStageError   a stage without offsets may be one that had another name
│   └── PortInUseError      another process listens on the port
├── BrokerError             the broker could not be reached, or refused
│   ├── CommitRefusedError  a commit of a member that is no longer in the group's generation
│   ├── OffsetOutOfRangeError  the position is no longer in the log
│   └── UnreadableRecordError  a record of a source topic cannot be parsed
├── RecordError             one record cannot go on
│   ├── DecodeError         its bytes are not what the schema says
│   ├── EncodeError         an output does not fit its schema
│   ├── KeyGivenUpError     an earlier record of its key kept failing, and too many waited
│   ├── TooManyOutputsError an attempt gave more outputs than the stage allows
│   └── RecordTooLargeError its encoded size is over the limit of its topic
└── StageError              a stage failed; carries stage_id and original_error
    ├── StageStoppedError   the policy said stop; carries the record's place
    └── DrainTimeoutError   work in flight did not finish within the drain deadline
Permanent                   raised by a user's agent: the record's fault, never retried
Transient                   raised by a user's agent: the world's fault, worth another try
```
"""

from collections.abc import Mapping

from streamapp.record import TopicPartition


class StreamappError(Exception):
    """Root of everything this package raises on purpose."""


class ConfigurationError(StreamappError):
    """A declaration, setting or file is wrong; raised before anything is started."""


class PipelineError(ConfigurationError):
    """Stages, schemas or policies of a pipeline do not fit together."""


class TopicError(ConfigurationError):
    """A topic is missing or is not as declared."""


class RenamedStageError(ConfigurationError):
    """A stage has no offsets, while Kafka remembers one that is not declared: a new name for it?"""


class PortInUseError(ConfigurationError):
    """Another process listens on the port that was asked for."""


class BrokerError(StreamappError):
    """The broker could not be reached, or refused what was asked."""


class CommitRefusedError(BrokerError):
    """A commit came from a member that is no longer part of the group's generation."""


class OffsetOutOfRangeError(BrokerError):
    """The position of a partition is no longer in the log: retention was faster.

    Attributes:
        offsets: the positions that were asked for, by partition.
    """

    def __init__(self, message: str, *, offsets: Mapping[TopicPartition, int]) -> None:
        super().__init__(message)
        self.offsets = offsets


class UnreadableRecordError(BrokerError):
    """A record of a source topic cannot be parsed, so nobody can decide about it but a person.

    Attributes:
        partition: topic and partition of the record.
        offset: its offset; everything before it was delivered.
    """

    def __init__(self, message: str, *, partition: TopicPartition, offset: int) -> None:
        super().__init__(message)
        self.partition = partition
        self.offset = offset


class RecordError(StreamappError):
    """One record cannot go on; the fault is the record's and no retry helps."""


class DecodeError(RecordError):
    """The bytes of a record are not what its topic's schema says."""


class EncodeError(RecordError):
    """An output does not fit the schema of its topic."""


class KeyGivenUpError(RecordError):
    """An earlier record of its key kept failing until too many waited; it was not tried."""


class TooManyOutputsError(RecordError):
    """An attempt gave more outputs than the stage allows."""


class RecordTooLargeError(RecordError):
    """A record's encoded size is over the limit of the topic it goes to."""


class StageError(StreamappError):
    """A stage failed.

    Attributes:
        stage_id: the stage that failed.
        original_error: what it failed with; the same object is the `__cause__`.
    """

    def __init__(
        self, message: str, *, stage_id: str, original_error: BaseException | None = None
    ) -> None:
        super().__init__(message)
        self.stage_id = stage_id
        self.original_error = original_error


class StageStoppedError(StageError):
    """The policy said stop: the partition resumes at this record.

    Attributes:
        partition: topic and partition of the record.
        offset: its offset.
    """

    def __init__(
        self,
        message: str,
        *,
        stage_id: str,
        partition: TopicPartition,
        offset: int,
        original_error: BaseException | None = None,
    ) -> None:
        super().__init__(message, stage_id=stage_id, original_error=original_error)
        self.partition = partition
        self.offset = offset


class DrainTimeoutError(StageError):
    """Work in flight did not finish within the drain deadline; it will be delivered again."""


class Permanent(Exception):  # noqa: N818 - a word of the user's: `raise Permanent("no such title")`
    """Raise it in an agent when the record is at fault: it is not tried again."""


class Transient(Exception):  # noqa: N818 - a word of the user's: `raise Transient("busy")`
    """Raise it in an agent when the world is at fault: another try may work."""
