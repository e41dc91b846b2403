"""What user code may ask about the data that it works on: the record, the attempt, the audit trail.

Hot path: `RecordContext` is made for each attempt of an agent that takes a context.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from streamapp.pipeline.trail import ErrorEntry, StageEntry, Trail, header_in, trail_from, utc
from streamapp.record import NO_OFFSET, Headers, Record, StoredRecord, event_timestamp
from streamapp.status import PipelineStatus

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_RECORD = StoredRecord(NO_OFFSET, -1, None, None)


@dataclass(slots=True)
class Place:
    """Where an attempt runs; the same for all records of a partition.

    Attributes:
        pipeline_id: name of the pipeline.
        stage_id: name of the stage; empty for an execution as a whole.
        topic, partition: where the record was read.
        now: the time in seconds since the epoch.
        on_unreadable: called when the header of a context cannot be read.
        status: state of the execution.
    """

    pipeline_id: str
    stage_id: str
    topic: str
    partition: int
    now: Callable[[], float]
    on_unreadable: Callable[[], None]
    status: PipelineStatus = PipelineStatus.RUNNING


class Context:
    """The record, the attempt and the audit trail of the data that an agent works on.

    It is made only for who asks for it: agents with a second parameter, middleware, and the caller
    of `Pipeline.execute`. The audit trail travels with the data: what an agent adds to `metadata`
    is seen by the stages after it, and what a failed attempt has added is forgotten.

    Args:
        pipeline_id, stage_id, topic, partition, record, attempt: for tests of an agent; the runtime
            and `Pipeline.execute` fill them in.
        metadata: facts that travel with the data, JSON by name.

    Attributes:
        record: the record as it was read from the broker.
        attempt: 1 for the first attempt, 2 for the first retry.
        trail: the audit trail, once somebody has asked for it; else `None`.
    """

    __slots__ = ("_place", "_value_headers", "attempt", "record", "trail")
    _value_headers: Headers  # set behind fused stages only: else it would cost each attempt

    def __init__(
        self,
        pipeline_id: str = "",
        stage_id: str = "",
        topic: str = "",
        partition: int = 0,
        record: Record | None = None,
        attempt: int = 1,
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._place = Place(pipeline_id, stage_id, topic, partition, time.time, _ignore)
        self._place.status = PipelineStatus.PENDING
        self.record: Record = _NO_RECORD if record is None else record
        self.attempt = attempt
        self.trail: Trail | None = None
        if metadata:
            self._trail().metadata.update(metadata)

    @property
    def pipeline_id(self) -> str:
        """Name of the pipeline."""
        return self._place.pipeline_id

    @property
    def stage_id(self) -> str:
        """Name of the stage; empty for an execution as a whole."""
        return self._place.stage_id

    @property
    def topic(self) -> str:
        """Topic that the record was read from."""
        return self._place.topic

    @property
    def partition(self) -> int:
        """Partition that the record was read from; 0 in process."""
        return self._place.partition

    @property
    def key(self) -> bytes | None:
        """Key of the record."""
        return self.record.key

    @property
    def headers(self) -> Mapping[str, bytes]:
        """Headers of the record; of several headers with the same name, the last."""
        return dict(self.record.headers)

    @property
    def value_headers(self) -> Headers:
        """Headers of the value: those of the record, but behind a fused stage those of its output.

        For middleware: they are what an output has which says nothing of its headers.
        """
        own: Headers | None = getattr(self, "_value_headers", None)  # else never set
        return self.record.headers if own is None else own

    @property
    def timestamp(self) -> datetime | None:
        """When the event was, in UTC; `None` if that is not known, or is no time of a calendar.

        It is the timestamp of the record, or in its header `streamapp.event_time` if that was too
        old for the retention of the topic between two stages.
        Kafka checks no timestamp: one in microseconds is past the year 9999.
        """
        milliseconds = event_timestamp(self.record)
        if milliseconds < 0:
            return None
        try:
            return _EPOCH + timedelta(milliseconds=milliseconds)
        except OverflowError:
            return None

    @property
    def status(self) -> PipelineStatus:
        """State of the execution; `running` while an agent works."""
        return self._place.status

    @property
    def execution_start(self) -> datetime:
        """When work on the data began, in UTC, as far as the audit trail says so."""
        return self._trail().start

    @property
    def metadata(self) -> dict[str, Any]:
        """Facts that travel with the data, JSON by name; add to it and change it.

        With history and error log they may take 4 KiB as JSON between stages; an attempt whose
        metadata alone are larger, or are no JSON, fails as the record's fault.
        """
        return self._trail().metadata

    @property
    def stage_history(self) -> Sequence[StageEntry]:
        """What earlier stages did, the oldest first; how much of it depends on `audit`."""
        return tuple(self._trail().history)

    @property
    def history_cut(self) -> int:
        """How many older entries of the history were cut."""
        return self._trail().history_cut

    @property
    def error_log(self) -> Sequence[ErrorEntry]:
        """Attempts that failed so far, the oldest first."""
        return tuple(self._trail().errors)

    @property
    def errors_cut(self) -> int:
        """How many older entries of the error log were cut."""
        return self._trail().errors_cut

    def begin(self, pipeline_id: str, seconds: float) -> Trail:
        """Make it the context of an execution that begins now; `Pipeline.execute` calls this."""
        place = self._place
        place.pipeline_id, place.status = pipeline_id, PipelineStatus.RUNNING
        if self.trail is None:
            self.trail = Trail(utc(seconds))
        self.trail.start = utc(seconds)
        return self.trail

    def end(self, status: PipelineStatus) -> None:
        """Note how the execution has ended; `Pipeline.execute` calls this."""
        self._place.status = status

    def _trail(self) -> Trail:
        trail = self.trail
        if trail is None:
            trail = self.trail = received_trail(self.record.headers, self._place)
        return trail

    def __repr__(self) -> str:
        place = self._place
        return f"<Context of {place.pipeline_id}.{place.stage_id}, attempt {self.attempt}>"


def _ignore() -> None:
    """Do nothing."""


PipelineContext = Context
"""The same; the name says that the audit trail is that of a pipeline's data."""


class RecordContext(Context):
    """The context of one attempt, as the runtime makes it: in as few instructions as possible."""

    __slots__ = ()

    def __init__(self, place: Place, record: Record, attempt: int) -> None:
        self._place = place
        self.record = record
        self.attempt = attempt
        self.trail = None


def context_of_attempt(
    place: Place, record: Record, attempt: int, kept: Trail | None, item_headers: Headers | None
) -> RecordContext:
    """The context of an attempt that is not the first on what was read.

    Args:
        place: where it runs.
        record: the record that was read.
        attempt: its number, from 1.
        kept: what is kept of earlier attempts; it is copied, since an attempt may fail.
        item_headers: headers of the value, for a fused stage; `None` if it is that of the record.
    """
    context = RecordContext(place, record, attempt)
    if item_headers is not None:
        context._value_headers = item_headers  # noqa: SLF001 - as rarely as it is needed
    if kept is not None:
        context.trail = kept.copy()
    elif item_headers and header_in(item_headers) is not None:
        context.trail = received_trail(item_headers, place)
    return context


def received_trail(headers: Headers, place: Place) -> Trail:
    """The trail that came with a record; a new one if none came, or if it cannot be read."""
    header = header_in(headers) if headers else None
    if header is not None:
        trail = trail_from(header)
        if trail is not None:
            return trail
        place.on_unreadable()
    return Trail(utc(place.now()))
