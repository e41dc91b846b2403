"""The record and the attempt, for agents that need to know them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from streamapp.record import Record, event_timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)  # not frozen: that would cost a record as much as its whole bookkeeping
class Context:
    """The record and the attempt, read-only; made only for agents with a second parameter.

    Attributes:
        pipeline_id: name of the pipeline.
        stage_id: name of the stage.
        topic, partition: where the record was read.
        record: the record as it was read from the broker.
        attempt: 1 for the first attempt, 2 for the first retry.
    """

    pipeline_id: str
    stage_id: str
    topic: str
    partition: int
    record: Record
    attempt: int

    @property
    def key(self) -> bytes | None:
        """Key of the record."""
        return self.record.key

    @property
    def headers(self) -> Mapping[str, bytes]:
        """Headers of the record; of several headers with the same name, the last."""
        return dict(self.record.headers)

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
