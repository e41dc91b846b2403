"""The tree of errors; each says what was wrong, where, and what to do.

```
StreamappError
├── ConfigurationError      a declaration, setting or file is wrong; nothing was started
│   ├── PipelineError       stages, schemas or policies of a pipeline do not fit together
│   ├── TopicError          a topic is missing or is not as declared
│   │   └── MissingTopicsError  topics that stages read or write are not there
│   ├── RenamedStageError   a stage without offsets may have been renamed
│   ├── PortInUseError      another process listens on the port
│   └── RegistryError       a definition or schema is wrong, or the registry has none of this name
│       ├── ImportRefusedError  what a definition names is not allowed, or is no agent
│       └── AssemblyError   no chain of agents does what is asked for (registry/explanation.py)
├── BrokerError             the broker could not be reached, or refused a request
│   ├── BatchRefusedError   the broker refused a batch for what is in it
│   ├── CommitRefusedError  the committing member is no longer in the group's generation
│   ├── FencedError         another transactional producer with the same id has started
│   ├── OffsetOutOfRangeError  the position is not in the log
│   └── UnreadableRecordError  a record of a source topic cannot be parsed
├── RecordError             one record failed, and a retry would fail too
│   ├── DecodeError         its bytes do not fit the schema
│   ├── EncodeError         a value does not fit the schema of its topic
│   ├── KeyGivenUpError     too many records waited behind an earlier one of its key
│   ├── TooManyOutputsError an attempt returned more outputs than the stage allows
│   ├── RecordTooLargeError its encoded size exceeds the limit of its topic
│   └── RecordRefusedError  its topic does not take it: its timestamp, or what else the broker says
└── StageError              a stage failed; carries stage_id and original_error
    ├── AgentSetupError     its agent cannot open as it is configured; a ConfigurationError too
    ├── StageStoppedError   the policy is stop; carries topic, partition and offset
    └── DrainTimeoutError   work in flight did not finish within the drain deadline
Permanent                   raised by an agent: the record is at fault; never retried
Transient                   raised by an agent: something outside is at fault; a retry may succeed
├── AllMembersOpenError     the breakers of all members of a pool are open; carries retry_after
└── ServiceError            a service that an agent asks did not answer; carries retry_after
```
"""

from collections.abc import Mapping, Sequence

from streamapp.record import TopicPartition


class StreamappError(Exception):
    """Root of all errors that this package raises."""


class ConfigurationError(StreamappError):
    """A declaration, setting or file is wrong; raised before anything is started."""


class PipelineError(ConfigurationError):
    """Stages, schemas or policies of a pipeline do not fit together."""


class TopicError(ConfigurationError):
    """A topic is missing or is not as declared."""


class MissingTopicsError(TopicError):
    """Topics that stages read or write are not there.

    Attributes:
        names: their names.
    """

    def __init__(
        self, names: Sequence[str], command: str = "streamapp topics apply MODULE:PIPELINE"
    ) -> None:
        """Name what is missing.

        Args:
            names: names of the topics.
            command: what creates them, as far as it is known how the pipeline was given.
        """
        super().__init__(f"missing topics: {', '.join(names)}; create them with `{command}`")
        self.names = tuple(names)


class RenamedStageError(ConfigurationError):
    """A stage has no offsets, and Kafka has those of an undeclared one: it may be renamed."""


class PortInUseError(ConfigurationError):
    """Another process listens on the port."""


class RegistryError(ConfigurationError):
    """A definition of an agent or a schema is wrong, or the registry has none of this name."""


class AgentConfigurationError(RegistryError):
    """Values of the configuration of an agent are wrong.

    Attributes:
        faults: of each, where it is in the configuration, and what is wrong.
    """

    def __init__(self, told: str, faults: tuple[tuple[tuple[int | str, ...], str], ...]) -> None:
        super().__init__(told)
        self.faults = faults


class ImportRefusedError(RegistryError):
    """What a definition names is not in an allowed package, is not there, or is no agent."""


class BrokerError(StreamappError):
    """The broker could not be reached, or refused a request."""


class BatchRefusedError(BrokerError):
    """The broker refused a batch for what is in it; the same batch would be refused again.

    Attributes:
        is_certain: whether what is in it is the only thing that can be at fault.
    """

    def __init__(self, message: str, *, is_certain: bool = True) -> None:
        super().__init__(message)
        self.is_certain = is_certain


class CommitRefusedError(BrokerError):
    """The committing member is no longer part of the group's generation."""


class ConsumerEndedError(BrokerError):
    """The client of a consumer has ended by itself: it reads again after a stop and a start."""


class FencedError(BrokerError):
    """Another transactional producer with the same id has started: this one may write no more."""


class OffsetOutOfRangeError(BrokerError):
    """The position of a partition is not in the log: deleted by retention, or beyond its end.

    Attributes:
        offsets: the lost positions, by partition.
    """

    def __init__(self, message: str, *, offsets: Mapping[TopicPartition, int]) -> None:
        super().__init__(message)
        self.offsets = offsets


class UnreadableRecordError(BrokerError):
    """A record of a source topic cannot be parsed; an operator has to decide about it.

    Attributes:
        partition: topic and partition of the record.
        offset: its offset; all records before it were returned.
    """

    def __init__(self, message: str, *, partition: TopicPartition, offset: int) -> None:
        super().__init__(message)
        self.partition = partition
        self.offset = offset


class RecordError(StreamappError):
    """One record failed through its own fault, and a retry would fail too."""


class DecodeError(RecordError):
    """The bytes of a record do not fit the schema of its topic."""


class EncodeError(RecordError):
    """A value does not fit the schema of the topic it is written to."""


class KeyGivenUpError(RecordError):
    """Too many records waited behind a failing one of the same key; this one was not tried."""


class TooManyOutputsError(RecordError):
    """An attempt returned more outputs than the stage allows."""


class RecordTooLargeError(RecordError):
    """The encoded size of a record exceeds the limit of the topic it is written to."""


class RecordRefusedError(RecordError):
    """The topic that a record is written to does not take it."""


class StageError(StreamappError):
    """A stage failed.

    Attributes:
        stage_id: the stage that failed.
        original_error: the error that it failed with, also its `__cause__`.
    """

    def __init__(
        self, message: str, *, stage_id: str, original_error: BaseException | None = None
    ) -> None:
        super().__init__(message)
        self.stage_id = stage_id
        self.original_error = original_error


class AgentSetupError(StageError, ConfigurationError):
    """The agent of a stage cannot open as it is configured; no record was read."""


class StageStoppedError(StageError):
    """A record failed in a stage with the policy `stop`; a restart resumes at this record.

    Attributes:
        partition: topic and partition of the record.
        offset: its offset.
        for_logs: the same sentence without what the agent says, which may quote the record.
    """

    def __init__(
        self,
        message: str,
        *,
        stage_id: str,
        partition: TopicPartition,
        offset: int,
        original_error: BaseException | None = None,
        for_logs: str | None = None,
    ) -> None:
        super().__init__(message, stage_id=stage_id, original_error=original_error)
        self.partition = partition
        self.offset = offset
        self.for_logs = message if for_logs is None else for_logs


class DrainTimeoutError(StageError):
    """Work in flight did not finish within the drain deadline; it will be read again."""


class Permanent(Exception):  # noqa: N818 - a word of the user's: `raise Permanent("no such title")`
    """Raise it in an agent when the record is at fault: the record is not retried."""


class Transient(Exception):  # noqa: N818 - a word of the user's: `raise Transient("busy")`
    """Raise it in an agent when something outside is at fault: a retry may succeed."""


class AllMembersOpenError(StreamappError, Transient):
    """No member of a pool can be called, as the breakers of all are open.

    It opens every breaker that is told of it at once: more failures would say nothing new.

    Attributes:
        retry_after: seconds to the next probe of a member.
    """

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServiceError(StreamappError, Transient):
    """A service that an agent asks cannot be reached, is too slow, or refuses for now.

    Attributes:
        retry_after: seconds for which it asks to be left alone; 0 if it does not say.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
