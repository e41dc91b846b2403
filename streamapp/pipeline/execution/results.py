"""What an execution gave: outputs, what became of each stage, dead letters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from streamapp.errors import StageError
from streamapp.observability.stage_metrics import DeadLetterReason, Outcome
from streamapp.pipeline.context import Context
from streamapp.pipeline.handover import undecodable
from streamapp.record import Headers
from streamapp.serialisation import Codec
from streamapp.status import PipelineStatus

OutT_co = TypeVar("OutT_co", covariant=True)

_UNREAD: Any = object()


class ExecutionOutput(Generic[OutT_co]):
    """An output of a stage, as a topic would hold it.

    Attributes:
        stage_id: the stage that gave it.
        data: its bytes; `None` is a tombstone.
        size: number of its bytes.
        key: its key; `None` is none.
        headers: its headers.
        topic: topic that it would be written to; `None` if none is declared for it.
        route: the route that it named; `None` for the stage's own output.
    """

    __slots__ = (
        "_codec",
        "_value",
        "data",
        "headers",
        "key",
        "route",
        "size",
        "stage_id",
        "topic",
    )

    def __init__(
        self,
        data: bytes | None,
        codec: Codec[Any],
        *,
        stage_id: str,
        key: bytes | None,
        headers: Headers,
        topic: str | None,
        route: str | None,
    ) -> None:
        self.data = data
        self.size = len(data or b"")
        self.stage_id = stage_id
        self.key = key
        self.headers = headers
        self.topic = topic
        self.route = route
        self._codec = codec
        self._value: Any = _UNREAD

    @property
    def value(self) -> OutT_co:
        """Its value, as whoever reads the topic would get it.

        Raises:
            DecodeError: the type cannot read what it writes.
        """
        if self._value is _UNREAD:
            try:
                self._value = None if self.data is None else self._codec.decode(self.data)
            except Exception as error:
                raise undecodable(self.data, error) from error
        value: OutT_co = self._value
        return value

    def __repr__(self) -> str:
        to = self.topic or self.route or "the caller"
        return f"<ExecutionOutput of stage {self.stage_id} to {to}>"


@dataclass(frozen=True, slots=True)
class ExecutionDeadLetter:
    """What a stage was given and failed for good on.

    Attributes:
        stage_id: the stage that failed.
        topic: its dead-letter topic.
        reason: why it became a dead letter; compares equal to its text, such as "decode".
        error: why it failed, with `stage_id` and `original_error`.
        attempts: how many attempts were made.
        value: the bytes that the stage was given; `None` is a tombstone.
        key: its key.
        headers: its headers.
    """

    stage_id: str
    topic: str
    reason: DeadLetterReason
    error: StageError
    attempts: int
    value: bytes | None
    key: bytes | None
    headers: Headers

    @property
    def size(self) -> int:
        """Bytes that count as outputs of the record: none."""
        return 0


@dataclass(slots=True)
class StageResult:
    """What one stage did in an execution.

    Attributes:
        stage_id: name of the stage.
        status: `pending` if it was given nothing; `failed` if it stopped, or if something that it
            was given became a dead letter; else `success`, also if the policy has skipped or
            dropped what failed.
        attempts: number of attempts, on everything that it was given.
        execution_time: seconds that it took, waits between attempts included.
        error: the first error with which something failed for good, also if it was skipped or
            dropped; `None` without.
        outcomes: how many values ended in which way.
        made: makes `emitted` of what the stage has made, once somebody asks.
    """

    stage_id: str
    status: PipelineStatus = PipelineStatus.PENDING
    attempts: int = 0
    execution_time: float = 0.0
    error: StageError | None = None
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    made: list[Callable[[], ExecutionOutput[Any]]] = field(default_factory=list, repr=False)

    @property
    def emitted(self) -> list[ExecutionOutput[Any]]:
        """Its outputs, with key, headers and topic."""
        return [show() for show in self.made]

    @property
    def outputs(self) -> list[Any]:
        """Values of its outputs."""
        return [output.value for output in self.emitted]

    @property
    def output(self) -> Any:
        """Its one output; `None` if it gave none.

        Raises:
            ValueError: it gave several; see `outputs`.
        """
        return _only(self.outputs, f"stage {self.stage_id!r}")


@dataclass(slots=True)
class ExecutionResult(Generic[OutT_co]):
    """What an execution gave.

    Attributes:
        status: `success`; or `failed` if a stage stopped or something became a dead letter.
        stages: what each stage did, in their order.
        context: the context of the execution, with metadata, history and errors of all stages.
        duration: seconds from begin to end.
        sinks: outputs of the last stage.
        routes: outputs to routes, by the name of the route.
        dead_letters: what failed for good and became a dead letter.
        error: the first error that made the execution fail; `None` if it has not failed.
    """

    status: PipelineStatus
    stages: Sequence[StageResult]
    context: Context
    duration: float
    sinks: Sequence[ExecutionOutput[OutT_co]]
    routes: Mapping[str, Sequence[ExecutionOutput[Any]]]
    dead_letters: Sequence[ExecutionDeadLetter]
    error: StageError | None

    @property
    def outputs(self) -> list[OutT_co]:
        """Values of the outputs of the last stage, in their order."""
        return [output.value for output in self.sinks]

    @property
    def output(self) -> OutT_co | None:
        """The one output of the last stage; `None` if there is none.

        Raises:
            ValueError: there are several; see `outputs`.
        """
        value: OutT_co | None = _only(self.outputs, "the pipeline")
        return value

    def stage(self, stage_id: str) -> StageResult:
        """What the stage of this name did.

        Raises:
            KeyError: there is none.
        """
        for stage in self.stages:
            if stage.stage_id == stage_id:
                return stage
        raise KeyError(stage_id)


def _only(outputs: Sequence[Any], giver: str) -> Any:
    if len(outputs) > 1:
        raise ValueError(f"{giver} gave {len(outputs)} outputs; `outputs` has all of them")
    return outputs[0] if outputs else None
